//! Things that are made once and found again without a lock: a list that
//! only grows, and not for long.

use std::sync::OnceLock;

/// Beyond that nothing more is kept: whoever asks makes it anew.
const MOST: usize = 32;

pub(super) struct Chain<T> {
    first: OnceLock<Box<Link<T>>>,
}

struct Link<T> {
    value: T,
    next: OnceLock<Box<Self>>,
}

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Self {
            first: OnceLock::new(),
        }
    }
}

impl<T> Chain<T> {
    pub(super) fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let mut place = &self.first;
        while let Some(link) = place.get() {
            if is_it(&link.value) {
                return Some(&link.value);
            }
            place = &link.next;
        }
        None
    }

    /// Puts it at the end. Of several threads that add the same thing at the
    /// same moment each may succeed; the first is found. False if there is no
    /// room.
    pub(super) fn add(&self, value: T) -> bool {
        let mut link = Box::new(Link {
            value,
            next: OnceLock::new(),
        });
        let mut place = &self.first;
        for _ in 0..MOST {
            link = match place.set(link) {
                Ok(()) => return true,
                Err(link) => link,
            };
            match place.get() {
                Some(taken) => place = &taken.next,
                None => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_the_list_is_bounded() {
        let chain = Chain::default();
        assert!(chain.find(|_: &(usize, usize)| true).is_none());
        for number in 0..MOST {
            assert!(chain.add((number, 10 * number)));
        }
        assert!(!chain.add((MOST, 0)));
        for number in 0..MOST {
            let found = chain.find(|(known, _)| *known == number);
            assert_eq!(found, Some(&(number, 10 * number)));
        }
        assert!(chain.find(|(known, _)| *known == MOST).is_none());
    }

    #[test]
    fn threads_that_add_lose_nothing() {
        let chain = Chain::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let chain = &chain;
                scope.spawn(move || (0..8).for_each(|n| assert!(chain.add(thread * 8 + n))));
            }
        });
        for number in 0..32 {
            assert!(chain.find(|known| *known == number).is_some());
        }
    }
}
