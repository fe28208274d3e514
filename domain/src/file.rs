//! A file that a person uploaded, once its bytes are in the file storage.

use events::file::Pixels;
use events::serde::Serialize;
use events::{ConversationId, FileEvent, FileId, Personal, UserId};
use thiserror::Error;

use crate::Decider;

/// What is known of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
pub enum File {
    /// Nothing.
    #[default]
    None,
    /// It is there.
    Stored(Stored),
    /// It was there.
    Removed {
        /// The file.
        file: FileId,
        /// Whose it was.
        owner: UserId,
        /// The conversation whose members could read it.
        conversation: Option<ConversationId>,
    },
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Stored {
    /// The file.
    pub file: FileId,
    /// Whose.
    pub owner: UserId,
    /// The conversation whose members may read it; everybody may when it is an avatar.
    pub conversation: Option<ConversationId>,
    /// Its media type.
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of what is stored, in hex.
    pub digest: String,
}

impl File {
    /// The file, while it is there.
    pub const fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Stored(stored) => Some(stored),
            Self::None | Self::Removed { .. } => None,
        }
    }

    /// Whether somebody may send it to this conversation, or have it as their picture for none.
    pub fn belongs_to(&self, owner: UserId, conversation: Option<ConversationId>) -> bool {
        self.stored().is_some_and(|it| it.owner == owner && it.conversation == conversation)
    }
}

/// What somebody does to a file.
#[derive(Clone, Debug)]
pub enum Command {
    /// Have uploaded it.
    Upload(Upload),
    /// Remove it.
    Remove {
        /// Who.
        by: UserId,
        /// Whether that one may decide what stays in its conversation.
        moderator: bool,
    },
}

/// A file whose bytes are stored, as they were found to be.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The new id.
    pub file: FileId,
    /// Whose.
    pub owner: UserId,
    /// The conversation it is for; none when it is an avatar.
    pub conversation: Option<ConversationId>,
    /// Whether the owner is in that conversation now.
    pub member: bool,
    /// What it was called.
    pub name: String,
    /// Its media type, as its content tells.
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of what is stored, in hex.
    pub digest: String,
    /// Its size, where it is a picture.
    pub pixels: Option<Pixels>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is none for this person.
    #[error("this conversation does not exist")]
    NoSuchConversation,
    /// The id is taken.
    #[error("a file with this id exists already")]
    AlreadyUploaded,
    /// It cannot be shown, or hides a path.
    #[error("a file's name has 1 to 255 characters, without slashes and control characters")]
    InvalidName,
    /// There is nothing in it.
    #[error("a file has at least one byte")]
    Empty,
    /// Others see it beside one's name.
    #[error("an avatar is a picture")]
    NoPicture,
    /// There is none.
    #[error("this file does not exist")]
    NoSuchFile,
    /// It is somebody else's.
    #[error("only the owner of a file, or who moderates its conversation, may remove it")]
    NotAllowed,
}

fn valid_name(name: &str) -> Result<(), Rejection> {
    let hides = |character: char| character.is_control() || matches!(character, '/' | '\\');
    if name.trim().is_empty() || name.chars().count() > 255 || name.chars().any(hides) {
        return Err(Rejection::InvalidName);
    }
    Ok(())
}

impl Upload {
    fn check(&self) -> Result<(), Rejection> {
        if self.conversation.is_some() && !self.member {
            return Err(Rejection::NoSuchConversation);
        }
        valid_name(&self.name)?;
        if self.bytes == 0 {
            return Err(Rejection::Empty);
        }
        if self.conversation.is_none() && self.pixels.is_none() {
            return Err(Rejection::NoPicture);
        }
        Ok(())
    }

    /// Whether it is the same bytes for the same use.
    fn is(&self, stored: &Stored) -> bool {
        (self.owner, self.conversation) == (stored.owner, stored.conversation)
            && self.digest == stored.digest
    }
}

impl Decider for File {
    type Command = Command;
    type Event = FileEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<FileEvent>, Rejection> {
        match (command, self) {
            (Command::Upload(upload), Self::None) => {
                upload.check()?;
                Ok(vec![FileEvent::Uploaded {
                    file: upload.file,
                    owner: upload.owner,
                    conversation: upload.conversation,
                    name: Personal::new(upload.owner, upload.name.clone()),
                    media_type: upload.media_type.clone(),
                    bytes: upload.bytes,
                    digest: upload.digest.clone(),
                    pixels: upload.pixels,
                }])
            }
            (Command::Upload(upload), Self::Stored(stored)) if upload.is(stored) => Ok(vec![]),
            (Command::Upload(_), _) => Err(Rejection::AlreadyUploaded),
            (Command::Remove { .. }, Self::None) => Err(Rejection::NoSuchFile),
            (
                Command::Remove { by, moderator: false },
                Self::Stored(Stored { owner, .. }) | Self::Removed { owner, .. },
            ) if by != owner => Err(Rejection::NotAllowed),
            (Command::Remove { .. }, Self::Removed { .. }) => Ok(vec![]),
            (Command::Remove { by, .. }, Self::Stored(Stored { file, owner, .. })) => {
                Ok(vec![FileEvent::Removed { file: *file, owner: *owner, by: *by }])
            }
        }
    }

    fn evolve(self, event: &FileEvent) -> Self {
        match event {
            FileEvent::Uploaded {
                file, owner, conversation, media_type, bytes, digest, ..
            } => Self::Stored(Stored {
                file: *file,
                owner: *owner,
                conversation: *conversation,
                media_type: media_type.clone(),
                bytes: *bytes,
                digest: digest.clone(),
            }),
            FileEvent::Removed { file, owner, .. } => Self::Removed {
                file: *file,
                owner: *owner,
                conversation: self.stored().and_then(|stored| stored.conversation),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{hold, user};

    const CONVERSATION: ConversationId = ConversationId::new(Uuid::from_u128(9));

    /// A picture of 1.
    fn picture() -> Upload {
        Upload {
            file: FileId::new(Uuid::from_u128(1)),
            owner: user(1),
            conversation: Some(CONVERSATION),
            member: true,
            name: "engine.png".to_owned(),
            media_type: "image/png".to_owned(),
            bytes: 7,
            digest: "e3b0".to_owned(),
            pixels: Some(Pixels { width: 2, height: 3 }),
        }
    }

    fn decide(upload: Upload) -> Result<Vec<FileEvent>, Rejection> {
        File::default().decide(&Command::Upload(upload))
    }

    fn stored() -> File {
        decide(picture()).unwrap().iter().fold(File::default(), File::evolve)
    }

    #[test]
    fn a_file_is_uploaded_once() {
        let state = stored();
        assert_eq!(state.stored().unwrap().bytes, 7);
        assert_eq!(state.decide(&Command::Upload(picture())), Ok(vec![]));
        for other in [
            Upload { digest: "e3b1".to_owned(), ..picture() },
            Upload { owner: user(2), ..picture() },
            Upload { conversation: None, ..picture() },
        ] {
            let refused = state.decide(&Command::Upload(other));
            assert_eq!(refused, Err(Rejection::AlreadyUploaded));
        }
    }

    #[test]
    fn a_file_is_sent_only_by_its_owner_and_only_where_it_belongs() {
        let elsewhere = ConversationId::new(Uuid::from_u128(8));
        assert!(stored().belongs_to(user(1), Some(CONVERSATION)));
        assert!(!stored().belongs_to(user(2), Some(CONVERSATION)));
        assert!(!stored().belongs_to(user(1), Some(elsewhere)));
        assert!(!stored().belongs_to(user(1), None));
        assert!(!File::default().belongs_to(user(1), Some(CONVERSATION)));
    }

    #[test]
    fn only_members_upload_to_a_conversation_and_anybody_an_avatar() {
        let outside = Upload { member: false, ..picture() };
        assert_eq!(decide(outside.clone()), Err(Rejection::NoSuchConversation));
        let avatar = Upload { conversation: None, ..outside };
        assert!(decide(avatar.clone()).is_ok());
        assert_eq!(decide(Upload { pixels: None, ..avatar }), Err(Rejection::NoPicture));
        assert!(decide(Upload { pixels: None, ..picture() }).is_ok());
    }

    #[test]
    fn a_file_has_content_and_a_name_that_hides_nothing() {
        assert_eq!(decide(Upload { bytes: 0, ..picture() }), Err(Rejection::Empty));
        let named = |name: &str| decide(Upload { name: name.to_owned(), ..picture() });
        assert!(named(&"é".repeat(255)).is_ok());
        for name in ["", " ", "../a", "a\\b", "a\nb", "a\0", &"é".repeat(256)] {
            assert_eq!(named(name), Err(Rejection::InvalidName), "{name:?}");
        }
    }

    #[test]
    fn the_owner_removes_a_file_and_so_does_who_may_decide_what_stays() {
        for (who, moderator) in [(1, false), (2, true)] {
            let remove = Command::Remove { by: user(who), moderator };
            let removed = stored().decide(&remove).unwrap();
            let state = removed.iter().fold(stored(), File::evolve);
            assert_eq!((state.stored(), state.decide(&remove)), (None, Ok(vec![])));
            let again = state.decide(&Command::Upload(picture()));
            assert_eq!(again, Err(Rejection::AlreadyUploaded), "it never comes back");
            let other = Command::Remove { by: user(3), moderator: false };
            assert_eq!(state.decide(&other), Err(Rejection::NotAllowed));
        }
        let other = Command::Remove { by: user(2), moderator: false };
        assert_eq!(stored().decide(&other), Err(Rejection::NotAllowed));
        assert_eq!(File::default().decide(&other), Err(Rejection::NoSuchFile));
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                (1..4_u8, "[ab]", any::<[bool; 3]>()).prop_map(|(who, digest, [kind, fact, here])| {
                    let (owner, conversation) = (user(who), here.then_some(CONVERSATION));
                    let upload = Upload { owner, conversation, member: fact, digest, ..picture() };
                    match kind {
                        true => Command::Upload(upload),
                        false => Command::Remove { by: user(who), moderator: fact },
                    }
                }),
                0..20,
            )
        ) {
            hold::<File>(&commands, |_| false, |before, after| {
                let gone = matches!(before, File::Removed { .. });
                assert!(!gone || before == after, "what is removed stays removed");
                if let (Some(one), Some(other)) = (before.stored(), after.stored()) {
                    assert_eq!(one, other, "a file never changes");
                }
            });
        }
    }
}
