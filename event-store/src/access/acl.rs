//! Access control lists: who may do what with a stream. Pure: no clock, no log, no network.
//!
//! A list stands in the metadata of a stream as `$acl`, and the lists of streams that have none in
//! the newest event of `$settings`. What is there but cannot be understood leaves the stream to the
//! admins: a slip of the pen must not open it.

use serde_json::{Map, Value};

/// The group whose members may do everything.
pub(crate) const ADMINS: &str = "$admins";
/// The group whose members run the store: subscriptions, scavenges.
pub(crate) const OPERATORS: &str = "$ops";
/// In a list: everybody, with or without credentials.
const EVERYBODY: &str = "$all";

/// What is done with a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permission {
    Read,
    Write,
    Delete,
    ReadMetadata,
    WriteMetadata,
}

/// The permissions with their keys, in the order of `Acl`.
const PERMISSIONS: [(Permission, &str); 5] = [
    (Permission::Read, "$r"),
    (Permission::Write, "$w"),
    (Permission::Delete, "$d"),
    (Permission::ReadMetadata, "$mr"),
    (Permission::WriteMetadata, "$mw"),
];

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    Anonymous,
    User { login: &'a str, groups: &'a [String] },
}

impl Who<'_> {
    pub(crate) fn is_admin(self) -> bool {
        self.is_in(ADMINS)
    }

    pub(crate) fn is_operator(self) -> bool {
        self.is_admin() || self.is_in(OPERATORS)
    }

    fn is_in(self, group: &str) -> bool {
        match self {
            Who::Anonymous => false,
            Who::User { groups, .. } => groups.iter().any(|one| one == group),
        }
    }

    /// Whether a name of a list means this caller.
    fn is_meant_by(self, name: &str) -> bool {
        match self {
            _ if name == EVERYBODY => true,
            Who::Anonymous => false,
            Who::User { login, .. } => login == name || self.is_in(name),
        }
    }
}

/// The two kinds of streams, which have different defaults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    User,
    System,
}

impl Kind {
    fn of(stream: &[u8]) -> Self {
        if stream.starts_with(b"$") { Self::System } else { Self::User }
    }
}

/// The key of the default list in `$settings`; as the `$acl` of a stream it stands for that list.
const USER_STREAMS: &str = "$userStreamAcl";
/// The same for system streams.
const SYSTEM_STREAMS: &str = "$systemStreamAcl";

/// The names that have each permission; `None` leaves it to the defaults.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Acl {
    names: [Option<Box<[String]>>; 5],
    /// Whose defaults are meant, when it is not those of the stream's own kind.
    defaults: Option<Kind>,
}

impl Acl {
    /// Nobody but the admins.
    fn closed() -> Self {
        Self { names: std::array::from_fn(|_| Some(Box::default())), defaults: None }
    }

    /// The list in the metadata of a stream.
    pub(crate) fn of_metadata(json: &[u8]) -> Self {
        match object(json) {
            Ok(metadata) => Self::at(&metadata, "$acl"),
            Err(Unreadable) => Self::closed(),
        }
    }

    fn at(object: &Map<String, Value>, key: &str) -> Self {
        match object.get(key) {
            None | Some(Value::Null) => Self::default(),
            Some(Value::Object(acl)) => {
                Self { names: PERMISSIONS.map(|(_, key)| names(acl.get(key))), defaults: None }
            }
            Some(Value::String(name)) if name == USER_STREAMS => Self::like(Kind::User),
            Some(Value::String(name)) if name == SYSTEM_STREAMS => Self::like(Kind::System),
            Some(_) => Self::closed(),
        }
    }

    fn like(kind: Kind) -> Self {
        Self { defaults: Some(kind), ..Self::default() }
    }

    fn names(&self, permission: Permission) -> Option<&[String]> {
        let at = PERMISSIONS.iter().position(|(one, _)| *one == permission);
        self.names[at.expect("every permission has a key")].as_deref()
    }
}

/// The lists for streams that have none of their own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Defaults {
    user_streams: Acl,
    system_streams: Acl,
}

impl Defaults {
    /// The lists in an event of `$settings`.
    pub(crate) fn of_settings(json: &[u8]) -> Self {
        match object(json) {
            Ok(settings) => Self {
                user_streams: Acl::at(&settings, USER_STREAMS),
                system_streams: Acl::at(&settings, SYSTEM_STREAMS),
            },
            Err(Unreadable) => Self { user_streams: Acl::closed(), system_streams: Acl::closed() },
        }
    }
}

/// Whether the caller may. What neither the stream's list nor the defaults say is open to every
/// user for ordinary streams, and to admins alone for system streams.
pub(crate) fn allows(
    who: Who<'_>,
    permission: Permission,
    stream: &[u8],
    own: &Acl,
    defaults: &Defaults,
) -> bool {
    if who.is_admin() {
        return true;
    }
    let kind = own.defaults.unwrap_or(Kind::of(stream));
    let default = match kind {
        Kind::User => &defaults.user_streams,
        Kind::System => &defaults.system_streams,
    };
    match own.names(permission).or_else(|| default.names(permission)) {
        Some(names) => names.iter().any(|name| who.is_meant_by(name)),
        None => kind == Kind::User && matches!(who, Who::User { .. }),
    }
}

/// The text is not a JSON object.
struct Unreadable;

fn object(json: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    if json.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(json).map_err(|_| Unreadable)
}

/// A name or a list of names. What is neither names nobody.
fn names(value: Option<&Value>) -> Option<Box<[String]>> {
    match value? {
        Value::Null => None,
        Value::String(name) => Some(Box::new([name.clone()])),
        Value::Array(names) => {
            let names: Option<Vec<_>> = names.iter().map(|name| name.as_str()).collect();
            Some(names.unwrap_or_default().into_iter().map(str::to_owned).collect())
        }
        _ => Some(Box::default()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user<'a>(login: &'a str, groups: &'a [String]) -> Who<'a> {
        Who::User { login, groups }
    }

    fn own(json: &str) -> Acl {
        Acl::of_metadata(json.as_bytes())
    }

    fn may(who: Who<'_>, stream: &str, acl: &Acl) -> bool {
        allows(who, Permission::Read, stream.as_bytes(), acl, &Defaults::default())
    }

    #[test]
    fn without_lists_users_share_streams_and_admins_keep_the_systems() {
        let admins = [ADMINS.to_owned()];
        for (stream, anonymous, ordinary) in
            [("orders-1", false, true), ("$settings", false, false), ("$all", false, false)]
        {
            let none = Acl::default();
            assert_eq!(may(Who::Anonymous, stream, &none), anonymous, "{stream}");
            assert_eq!(may(user("ann", &[]), stream, &none), ordinary, "{stream}");
            assert!(may(user("root", &admins), stream, &none), "{stream}");
        }
    }

    #[test]
    fn a_list_names_users_groups_or_everybody() {
        let devs = ["devs".to_owned()];
        let acl = own(r#"{"$acl": {"$r": ["ann", "devs"]}}"#);
        assert!(may(user("ann", &[]), "s", &acl));
        assert!(may(user("bob", &devs), "s", &acl));
        assert!(!may(user("bob", &[]), "s", &acl));
        assert!(!may(Who::Anonymous, "s", &acl));
        let everybody = own(r#"{"$acl": {"$r": "$all"}}"#);
        assert!(may(Who::Anonymous, "s", &everybody));
        assert!(may(Who::Anonymous, "$s", &everybody));
    }

    #[test]
    fn a_list_that_names_nobody_is_for_admins() {
        let admins = [ADMINS.to_owned()];
        for json in [
            r#"{"$acl": {"$r": []}}"#,
            r#"{"$acl": {"$r": ""}}"#,
            r#"{"$acl": {"$r": 7}}"#,
            r#"{"$acl": {"$r": ["ann", 7]}}"#,
            r#"{"$acl": "ann"}"#,
            r#"{"$acl": ["ann"]}"#,
            r#"{"$acl": {"$r": "ann"}"#,
            "[]",
            "\u{0}",
        ] {
            assert!(!may(user("ann", &[]), "s", &own(json)), "{json}");
            assert!(!may(Who::Anonymous, "s", &own(json)), "{json}");
            assert!(may(user("root", &admins), "s", &own(json)), "{json}");
        }
    }

    #[test]
    fn what_a_list_leaves_out_is_for_the_settings_to_say() {
        let settings = br#"{"$userStreamAcl": {"$r": "ann"}, "$systemStreamAcl": {"$r": "bob"}}"#;
        let defaults = Defaults::of_settings(settings);
        let acl = own(r#"{"$acl": {"$w": "eve", "$r": null}}"#);
        let reads = |login, stream: &str| {
            allows(user(login, &[]), Permission::Read, stream.as_bytes(), &acl, &defaults)
        };
        assert!(reads("ann", "s") && !reads("bob", "s") && !reads("eve", "s"));
        assert!(reads("bob", "$s") && !reads("ann", "$s"));
        // What the settings leave out too is as if there were none.
        assert!(allows(user("ann", &[]), Permission::Delete, b"s", &acl, &defaults));
        assert!(!allows(user("ann", &[]), Permission::Write, b"s", &acl, &defaults));
    }

    #[test]
    fn a_list_may_name_the_defaults_of_the_other_kind() {
        let settings = br#"{"$userStreamAcl": {"$r": "ann"}, "$systemStreamAcl": {"$r": "bob"}}"#;
        let user_streams = own(r#"{"$acl": "$userStreamAcl"}"#);
        let system_streams = own(r#"{"$acl": "$systemStreamAcl"}"#);
        assert!(may(user("ann", &[]), "$s", &user_streams));
        assert!(!may(user("ann", &[]), "s", &system_streams));
        let defaults = Defaults::of_settings(settings);
        let reads = |login, stream: &[u8], acl| {
            allows(user(login, &[]), Permission::Read, stream, acl, &defaults)
        };
        assert!(reads("ann", b"$s", &user_streams) && !reads("bob", b"$s", &user_streams));
        assert!(reads("bob", b"s", &system_streams) && !reads("ann", b"s", &system_streams));
    }

    fn some_names() -> impl Strategy<Value = Option<Vec<String>>> {
        let name = prop::sample::select(vec!["ann", "bob", "devs", "$ops", "$admins", "$all"]);
        proptest::option::of(proptest::collection::vec(name.prop_map(str::to_owned), 0..3))
    }

    fn json(keys: &[Option<Vec<String>>]) -> Value {
        let pairs = PERMISSIONS.iter().zip(keys);
        let pairs = pairs.filter_map(|((_, key), names)| Some((*key, names.clone()?)));
        pairs.map(|(key, names)| (key.to_owned(), Value::from(names))).collect()
    }

    proptest! {
        /// The rule, written a second time and the other way round.
        #[test]
        fn the_decision_is_the_first_list_that_speaks(
            own in proptest::collection::vec(some_names(), 5),
            ordinary in proptest::collection::vec(some_names(), 5),
            system in proptest::collection::vec(some_names(), 5),
            login in proptest::option::of(prop::sample::select(vec!["ann", "bob", "eve"])),
            groups in proptest::collection::vec(
                prop::sample::select(vec!["devs", "$ops", "$admins"]).prop_map(str::to_owned), 0..2),
            stream in prop::sample::select(vec!["a", "$a", "$all"]),
            at in 0usize..5,
        ) {
            let acl = Acl::of_metadata(serde_json::json!({"$acl": json(&own)}).to_string().as_bytes());
            let defaults = Defaults::of_settings(serde_json::json!({
                "$userStreamAcl": json(&ordinary), "$systemStreamAcl": json(&system),
            }).to_string().as_bytes());
            let who = login.map_or(Who::Anonymous, |login| user(login, &groups));
            let is_system = stream.starts_with('$');
            let default = if is_system { &system[at] } else { &ordinary[at] };
            let mut names: Vec<&str> = vec!["$all"];
            if let Some(login) = login {
                names.push(login);
                names.extend(groups.iter().map(String::as_str));
            }
            let expected = names.contains(&"$admins") || match (&own[at], default) {
                (Some(list), _) | (None, Some(list)) => {
                    list.iter().any(|name| names.contains(&name.as_str()))
                }
                (None, None) => login.is_some() && !is_system,
            };
            let permission = PERMISSIONS[at].0;
            prop_assert_eq!(allows(who, permission, stream.as_bytes(), &acl, &defaults), expected);
        }

        /// Whatever the metadata is, it can be read, and never shuts the admins out.
        #[test]
        fn any_text_is_a_list(text in "\\PC*") {
            let admins = [ADMINS.to_owned()];
            prop_assert!(may(user("root", &admins), "$s", &own(&text)));
        }
    }
}
