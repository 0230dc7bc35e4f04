//! Texts by number: most are said a thousand times, and a page is small when each is in it once.

use std::collections::BTreeMap;

/// A table of texts. Number 0 is the empty one.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    numbers: BTreeMap<String, u32>,
    list: Vec<String>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { numbers: BTreeMap::from([(String::new(), 0)]), list: vec![String::new()] }
    }
}

impl Texts {
    /// Returns the number of a text, a new one if it has none.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.list.push(text.to_owned());
        number
    }

    /// Returns how many texts there are.
    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the text of a number.
    ///
    /// # Panics
    /// When there is no such number.
    pub(crate) fn text(&self, number: u32) -> &str {
        &self.list[number as usize]
    }
}
