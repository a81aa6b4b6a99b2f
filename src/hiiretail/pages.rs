use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::iter::FusedIterator;
use std::sync::Arc;

use ::http::Method;
use serde::de::DeserializeOwned;

use super::connection::{Connection, Operation, pair, read};
use super::rules;
use crate::error::{Error, ErrorKind};

/// How a list is sorted, searched and read.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// use snowpipe_streaming::hiiretail::{ListOptions, Order};
///
/// let stores = ListOptions::new().search("Store").order(Order::Descending).page_size(100);
/// for group in iam.groups().list_with(&stores) {
///     println!("{}", group?.name);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    search: Option<String>,
    order: Option<Order>,
    page_size: u32,
    offset: u64,
}

/// The direction in which a list is sorted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// From A to Z.
    Ascending,
    /// From Z to A.
    Descending,
}

impl ListOptions {
    /// Everything, as the service sorts it, in pages of 1000.
    pub fn new() -> ListOptions {
        ListOptions { search: None, order: None, page_size: rules::MAX_PAGE, offset: 0 }
    }

    /// Only what has this text in its name.
    pub fn search(mut self, text: impl Into<String>) -> ListOptions {
        self.search = Some(text.into());
        self
    }

    /// Sorted by name.
    pub fn order(mut self, order: Order) -> ListOptions {
        self.order = Some(order);
        self
    }

    /// How many come with one request: 1 to 1000.
    pub fn page_size(mut self, size: u32) -> ListOptions {
        self.page_size = size;
        self
    }

    /// How many are left out at the beginning. Default: none.
    pub fn offset(mut self, offset: u64) -> ListOptions {
        self.offset = offset;
        self
    }

    fn query(&self, fixed: &str) -> String {
        let mut pairs = Vec::new();
        pairs.extend(self.search.as_deref().map(|text| pair("searchString", text)));
        pairs.extend(self.order.map(|order| match order {
            Order::Ascending => "direction=asc".to_owned(),
            Order::Descending => "direction=desc".to_owned(),
        }));
        if !pairs.is_empty() {
            // The service searches and sorts only by a field that it is given.
            pairs.push("sortBy=name".to_owned());
        }
        pairs.extend((!fixed.is_empty()).then(|| fixed.to_owned()));
        pairs.join("&")
    }
}

impl Default for ListOptions {
    fn default() -> ListOptions {
        ListOptions::new()
    }
}

/// A list, read page by page while it is iterated.
///
/// Each item is a value or the error that ended the list. What is created or deleted meanwhile may be missing or come twice:
/// the service counts from the beginning for every page.
///
/// # Blocking
///
/// `next` blocks at the beginning of every page, as [every call](super::Iam#blocking).
pub struct Pages<T> {
    connection: Arc<Connection>,
    list: Operation,
    query: String,
    page_size: u32,
    offset: u64,
    ready: VecDeque<T>,
    /// Hashes of all pages so far, to notice a service that returns one again: the list would never end.
    seen: HashSet<u64>,
    next: Turn,
}

#[derive(Debug)]
enum Turn {
    Page,
    /// Reported by the first call of `next`.
    Refused(Error),
    End,
}

impl<T: DeserializeOwned> Pages<T> {
    /// `fixed` is a part of every page's query, or empty.
    pub(super) fn new(
        connection: &Arc<Connection>,
        list: (String, &'static str, String),
        options: &ListOptions,
        fixed: &str,
    ) -> Pages<T> {
        let (path, permission, attempted) = list;
        let next = match rules::page_size(options.page_size) {
            Ok(()) => Turn::Page,
            Err(error) => Turn::Refused(error.attempting(&*attempted)),
        };
        Pages {
            connection: Arc::clone(connection),
            list: Operation::new(Method::GET, path, permission, attempted),
            query: options.query(fixed),
            page_size: options.page_size,
            offset: options.offset,
            ready: VecDeque::new(),
            seen: HashSet::new(),
            next,
        }
    }

    fn turn(&mut self) -> Result<(), Error> {
        let place = format!("limit={}&offset={}", self.page_size, self.offset);
        self.list.query = if self.query.is_empty() { place } else { format!("{}&{place}", self.query) };
        let response = self.connection.send(&self.list)?;
        let page: VecDeque<T> = read(&response, &self.list)?;
        if !page.is_empty() && !self.seen.insert(hash(&response.body)) {
            let reason = "the service returned the same page twice, so the list would never end";
            return Err(Error::new(ErrorKind::Protocol, reason).attempting(&*self.list.attempted).advise(
                match self.page_size {
                    rules::MAX_PAGE => "get what you need by its id",
                    _ => "ask for pages of 1000, or get what you need by its id",
                },
            ));
        }
        // A page that is longer than asked for is all there is.
        let is_full = page.len() == self.page_size as usize;
        self.next = if is_full { Turn::Page } else { Turn::End };
        self.offset = self.offset.saturating_add(page.len() as u64);
        self.ready = page;
        Ok(())
    }
}

fn hash(page: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(page);
    hasher.finish()
}

impl<T: DeserializeOwned> Iterator for Pages<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Result<T, Error>> {
        if let Some(item) = self.ready.pop_front() {
            return Some(Ok(item));
        }
        match std::mem::replace(&mut self.next, Turn::End) {
            Turn::End => None,
            Turn::Refused(error) => Some(Err(error)),
            Turn::Page => match self.turn() {
                Ok(()) => self.ready.pop_front().map(Ok),
                Err(error) => Some(Err(error)),
            },
        }
    }
}

impl<T: DeserializeOwned> FusedIterator for Pages<T> {}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pages { offset, page_size, .. } = self;
        f.debug_struct("Pages").field("offset", offset).field("page_size", page_size).finish_non_exhaustive()
    }
}
