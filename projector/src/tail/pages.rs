//! Pages of the log for projections that are behind the tail: several of them mostly walk the same
//! way, so what one has read and decoded the others take.

use std::collections::VecDeque;
use std::sync::Arc;

use events::Position;
use tokio::sync::Mutex;

use super::Item;

/// How many pages are kept.
const PAGES: usize = 8;

type Page = Arc<[Arc<Item>]>;

/// The pages that were read last, by the position that they follow.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: Mutex<VecDeque<(Position, Page)>>,
}

impl Pages {
    /// The page after a position, read if it is not here. Who comes while it is read waits for it.
    pub(super) async fn page<F: Future<Output = Vec<Arc<Item>>>>(
        &self,
        after: Position,
        read: impl FnOnce() -> F,
    ) -> Page {
        let mut pages = self.pages.lock().await;
        if let Some((_, page)) = pages.iter().find(|(position, _)| *position == after) {
            return page.clone();
        }
        let page: Page = read().await.into();
        if !page.is_empty() {
            pages.truncate(PAGES - 1);
            pages.push_front((after, page.clone()));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use events::{EventId, StreamName};
    use uuid::Uuid;

    use super::*;
    use crate::tail::Content;

    fn item() -> Arc<Item> {
        Arc::new(Item {
            position: Position::at(9),
            stream: StreamName::recorded("orders-1"),
            revision: 0,
            id: EventId::new(Uuid::nil()),
            content: Content::Foreign,
        })
    }

    #[tokio::test]
    async fn a_page_is_read_once_and_an_empty_one_is_not_kept() {
        let pages = Pages::default();
        let never = || async { panic!("it was read before") };
        assert!(pages.page(Position::START, || async { vec![] }).await.is_empty());
        let first = pages.page(Position::START, || async { vec![item()] }).await;
        let again = pages.page(Position::START, never).await;
        assert!(Arc::ptr_eq(&first[0], &again[0]));
        for other in 0..PAGES as u64 {
            pages.page(Position::at(other + 1), || async { vec![item()] }).await;
        }
        let after = pages.page(Position::START, || async { vec![item(), item()] }).await;
        assert_eq!(after.len(), 2, "it was forgotten");
    }
}
