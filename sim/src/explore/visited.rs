//! What was visited, by all workers of a search: some 13 bytes a situation.

use std::sync::{Mutex, PoisonError};

/// A set of fingerprints into which many threads put theirs.
///
/// **Shape**: parts by the low bits, each an open table with linear steps that is filled to four fifths and then grows by a
/// half. So a fingerprint takes 10 to 15 bytes, and while one part grows the others stay.
///
/// A fingerprint has 64 bits: among n of them two are equal by chance with a probability below n² / 2⁶⁵.
#[derive(Debug)]
pub(super) struct Visited {
    parts: Vec<Mutex<Part>>,
}

#[derive(Debug)]
struct Part {
    /// The fingerprint zero stands for a free place.
    places: Vec<u64>,
    count: usize,
}

const PARTS: usize = 256;

impl Default for Visited {
    fn default() -> Self {
        let part = || Mutex::new(Part { places: vec![0; 16], count: 0 });
        Self { parts: std::iter::repeat_with(part).take(PARTS).collect() }
    }
}

impl Visited {
    /// Puts a fingerprint in, and returns whether it is new.
    pub(super) fn insert(&self, fingerprint: u64) -> bool {
        let part = &self.parts[fingerprint as usize % PARTS];
        part.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint.max(1))
    }

    /// Returns how many fingerprints are in it.
    pub(super) fn len(&self) -> usize {
        self.sum(|part| part.count)
    }

    /// Returns how many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.sum(|part| part.places.len() * size_of::<u64>())
    }

    fn sum(&self, of: impl Fn(&Part) -> usize) -> usize {
        self.parts.iter().map(|part| of(&part.lock().unwrap_or_else(PoisonError::into_inner))).sum()
    }
}

impl Part {
    fn insert(&mut self, fingerprint: u64) -> bool {
        let place = self.place(fingerprint);
        if self.places[place] == fingerprint {
            return false;
        }
        self.places[place] = fingerprint;
        self.count += 1;
        if self.count * 5 >= self.places.len() * 4 {
            self.grow();
        }
        true
    }

    /// Returns where a fingerprint is, or would be.
    fn place(&self, fingerprint: u64) -> usize {
        let length = self.places.len();
        // The low bits say which part it is, so the high ones say where.
        let mut place = ((u128::from(fingerprint) * length as u128) >> 64) as usize;
        while self.places[place] != 0 && self.places[place] != fingerprint {
            place = if place + 1 == length { 0 } else { place + 1 };
        }
        place
    }

    fn grow(&mut self) {
        let larger = vec![0; self.places.len() * 3 / 2];
        for fingerprint in std::mem::replace(&mut self.places, larger) {
            if fingerprint != 0 {
                let place = self.place(fingerprint);
                self.places[place] = fingerprint;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_known_however_much_comes_after_it() {
        let visited = Visited::default();
        let of = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!((0..50_000).all(|number| visited.insert(of(number))));
        assert!(!(0..50_000).any(|number| visited.insert(of(number))));
        assert_eq!(visited.len(), 50_000);
    }

    #[test]
    fn a_fingerprint_takes_less_than_sixteen_bytes() {
        let visited = Visited::default();
        let mut state = 1_u64;
        for count in 1..200_000_usize {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            visited.insert(state ^ (state >> 32));
            if count > 20_000 && count % 1_000 == 0 {
                assert!(visited.bytes() < count * 16, "{count} take {} bytes", visited.bytes());
            }
        }
    }
}
