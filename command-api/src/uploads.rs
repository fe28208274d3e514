//! What uploads need of a process: the storage, bounds, and a place for each that goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use events::UserId;
use files::{Bounds, LeastRate, Storage, Studio};
use http::StatusCode;
use service::{FileSettings, Problem};

/// How many uploads may go on at once in a process, and of one person in it.
const ALL: usize = 64;
const OF_ONE: usize = 4;

/// The longest silence within an upload, and the longest time for all of it.
const SILENCE: Duration = Duration::from_secs(20);
const WHOLE: Duration = Duration::from_secs(30 * 60);
/// The least rate, on average: the slowest of phones is quicker, and to keep all places of a process
/// from others costs somebody a MiB every second.
const LEAST: LeastRate = LeastRate { per_second: 16 * 1024, after: Duration::from_secs(30) };

/// Uploads of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    /// Where they become files.
    pub(crate) studio: Studio,
    /// What one may take.
    pub(crate) bounds: Bounds,
    /// The most bytes of all files of one person.
    pub(crate) quota: u64,
    going_on: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// The place of one upload, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: UserId,
    going_on: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Uploads {
    pub(crate) fn open(settings: &FileSettings) -> Result<Self, files::OpenError> {
        let storage = Storage::open(&settings.url, settings.cloud.iter().cloned())?;
        Ok(Self {
            studio: Studio::new(storage),
            bounds: Bounds {
                largest: settings.largest,
                silence: SILENCE,
                whole: WHOLE,
                least: LEAST,
            },
            quota: settings.quota,
            going_on: Arc::default(),
        })
    }

    /// A place for one more upload of somebody.
    pub(crate) fn enter(&self, of: UserId) -> Result<Place, Problem> {
        let mut going_on = self.going_on.lock().unwrap_or_else(PoisonError::into_inner);
        let own = going_on.get(&of).copied().unwrap_or_default();
        if own >= OF_ONE || going_on.values().sum::<usize>() >= ALL {
            let title = "Too many uploads at once";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-uploads", title)
                .retry_after(Duration::from_secs(2)));
        }
        going_on.insert(of, own + 1);
        Ok(Place { of, going_on: self.going_on.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut going_on = self.going_on.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut own) = going_on.entry(self.of) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn uploads() -> (tempfile::TempDir, Uploads) {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().display().to_string();
        let settings = FileSettings { url, cloud: vec![], largest: 1, quota: 1 };
        let uploads = Uploads::open(&settings).unwrap();
        (folder, uploads)
    }

    #[test]
    fn nobody_takes_all_places_and_a_place_is_given_back() {
        let (_folder, uploads) = uploads();
        let user = |number| UserId::new(Uuid::from_u128(number));
        let mut places: Vec<_> = (0..OF_ONE).map(|_| uploads.enter(user(1)).unwrap()).collect();
        assert_eq!(uploads.enter(user(1)).unwrap_err().slug(), "too-many-uploads");
        places.pop();
        places.push(uploads.enter(user(1)).unwrap());
        for other in 2.. {
            match uploads.enter(user(other)) {
                Ok(place) => places.push(place),
                Err(_) => break,
            }
        }
        assert_eq!(places.len(), ALL);
        places.clear();
        assert!(uploads.going_on.lock().unwrap().is_empty());
    }
}
