//! What others see of a person.

use events::user::Avatar;
use events::{Personal, UserEvent};

use super::Rejection;
use super::account::{Account, Decision};

/// How many pictures everybody may use.
pub const PRESETS: u8 = 8;

/// What a person says about themselves; what is absent stays as it was. An empty text about
/// oneself, or location, is none.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The name that others see.
    pub name: Option<String>,
    /// The text about oneself.
    pub bio: Option<String>,
    /// The language they speak, as a tag of BCP 47.
    pub native_language: Option<String>,
    /// The language they learn, as a tag of BCP 47.
    pub learning_language: Option<String>,
    /// Where they are.
    pub location: Option<String>,
    /// Their picture.
    pub avatar: Option<Avatar>,
    /// Whether the picture, if it is a file, is a picture that the person uploaded as an avatar.
    pub owns_avatar: bool,
}

pub(super) fn valid_name(name: &str) -> Result<(), Rejection> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(Rejection::InvalidName);
    }
    Ok(())
}

/// Whether a text has the form of a language tag (BCP 47, RFC 5646 section 2.1), which is all that
/// can be said without the registry: a language of letters, then subtags.
fn is_language_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    let is_language = (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    let ends_well = text.rsplit('-').next().is_some_and(|last| last.len() > 1);
    let are_subtags = subtags.all(|subtag| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    text.len() <= 35 && is_language && are_subtags && ends_well
}

impl Profile {
    fn check(&self) -> Result<(), Rejection> {
        let longer = |text: &Option<String>, most| {
            text.as_ref().is_some_and(|text| text.chars().count() > most)
        };
        if let Some(name) = &self.name {
            valid_name(name)?;
        }
        if longer(&self.bio, 1000) {
            return Err(Rejection::BioTooLong);
        }
        let mut languages = [&self.native_language, &self.learning_language].into_iter().flatten();
        if languages.any(|tag| !is_language_tag(tag)) {
            return Err(Rejection::InvalidLanguage);
        }
        if longer(&self.location, 100) {
            return Err(Rejection::LocationTooLong);
        }
        match self.avatar {
            Some(Avatar::Preset(1..=PRESETS)) | None => Ok(()),
            Some(Avatar::File(_)) if self.owns_avatar => Ok(()),
            Some(Avatar::Preset(_) | Avatar::File(_)) => Err(Rejection::InvalidAvatar),
        }
    }

    /// Whether it says all that others need to find somebody.
    fn is_complete(&self) -> bool {
        [&self.name, &self.bio, &self.native_language, &self.learning_language]
            .into_iter()
            .all(|text| text.as_ref().is_some_and(|text| !text.trim().is_empty()))
    }
}

impl Account {
    pub(super) fn change_profile(&self, profile: &Profile) -> Decision {
        profile.check()?;
        // No text is an empty one.
        let new = |new: &Option<String>, now: Option<&Personal<String>>| {
            let new = new.as_deref()?;
            let same = now.map_or(Some(""), |now| now.open().map(String::as_str)) == Some(new);
            (!same).then(|| self.personal(new))
        };
        let name = new(&profile.name, Some(&self.name));
        let bio = new(&profile.bio, self.bio.as_ref());
        let native_language = new(&profile.native_language, self.native_language.as_ref());
        let learning_language = new(&profile.learning_language, self.learning_language.as_ref());
        let location = new(&profile.location, self.location.as_ref());
        let avatar = profile.avatar.filter(|avatar| self.avatar != Some(*avatar));
        let texts = [&name, &bio, &native_language, &learning_language, &location];
        if avatar.is_none() && texts.iter().all(|text| text.is_none()) {
            return Ok(vec![]);
        }
        Ok(vec![UserEvent::ProfileChanged {
            user: self.user,
            name,
            bio,
            native_language,
            learning_language,
            location,
            avatar,
        }])
    }

    pub(super) fn onboard(&self, profile: &Profile) -> Decision {
        if !profile.is_complete() {
            return Err(Rejection::Incomplete);
        }
        let mut events = self.change_profile(profile)?;
        if !self.onboarded {
            events.push(UserEvent::Onboarded { user: self.user });
        }
        Ok(events)
    }
}
