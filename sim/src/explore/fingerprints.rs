//! Where what belongs to a fingerprint is kept: a number for each, in no order.

/// Fingerprints with their numbers.
///
/// **Shape**: open addressing with linear steps; filled to three quarters at most, so 16 to 32 bytes an entry.
/// A fingerprint has 64 bits: among n of them two are equal by chance with a probability below n² / 2⁶⁵.
#[derive(Clone, Debug)]
pub(super) struct Fingerprints {
    /// Fingerprint and number; the fingerprint zero stands for a free place.
    places: Vec<Place>,
    count: u32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
struct Place {
    fingerprint: u64,
    number: u32,
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self { places: vec![Place::default(); 1024], count: 0 }
    }
}

impl Fingerprints {
    /// Puts a fingerprint in with a number, unless it is there.
    pub(super) fn insert(&mut self, fingerprint: u64, number: u32) {
        if self.count as usize * 4 >= self.places.len() * 3 {
            self.grow();
        }
        let fingerprint = fingerprint.max(1);
        let place = self.place(fingerprint);
        if self.places[place].fingerprint == 0 {
            self.places[place] = Place { fingerprint, number };
            self.count += 1;
        }
    }

    /// Returns the number of a fingerprint.
    pub(super) fn get(&self, fingerprint: u64) -> Option<u32> {
        let Place { fingerprint, number } = self.places[self.place(fingerprint.max(1))];
        (fingerprint != 0).then_some(number)
    }

    /// Returns where a fingerprint is, or would be.
    fn place(&self, fingerprint: u64) -> usize {
        let mask = self.places.len() - 1;
        let mut place = fingerprint as usize & mask;
        while self.places[place].fingerprint != 0 && self.places[place].fingerprint != fingerprint {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let larger = vec![Place::default(); self.places.len() * 2];
        for old in std::mem::replace(&mut self.places, larger) {
            if old.fingerprint != 0 {
                let place = self.place(old.fingerprint);
                self.places[place] = old;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_keeps_its_number_however_many_come_after_it() {
        let mut fingerprints = Fingerprints::default();
        let of = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..10_000 {
            fingerprints.insert(of(number), number);
        }
        for number in 0..10_000 {
            fingerprints.insert(of(number), 0);
            assert_eq!(fingerprints.get(of(number)), Some(number));
        }
        assert_eq!(fingerprints.get(of(10_000)), None);
    }
}
