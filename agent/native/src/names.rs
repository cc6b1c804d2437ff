//! Gives each member of one event a name of its own: the first keeps its name, a later one takes the smallest free
//! `_n`, n from 2.

use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub struct Names {
    taken: HashSet<Vec<u8>>,
    next: HashMap<Vec<u8>, u64>,
}

impl Names {
    pub fn with<'a>(taken: impl IntoIterator<Item = &'a [u8]>) -> Names {
        Names { taken: taken.into_iter().map(<[u8]>::to_vec).collect(), next: HashMap::new() }
    }

    /// Takes the name, or the first free one like it.
    pub fn claim(&mut self, name: Vec<u8>) -> Vec<u8> {
        if !self.taken.contains(&name) {
            self.taken.insert(name.clone());
            return name;
        }
        let number = self.next.entry(name.clone()).or_insert(2);
        loop {
            let mut other = name.clone();
            other.extend_from_slice(format!("_{number}").as_bytes());
            *number += 1;
            if !self.taken.contains(&other) {
                self.taken.insert(other.clone());
                return other;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_names_take_the_smallest_free_number() {
        let mut names = Names::default();
        let wanted = ["x", "x_2", "x", "x", "x_2", "", "", "x_3"];
        let given: Vec<_> = wanted.iter().map(|name| names.claim(name.as_bytes().to_vec())).collect();

        let expected = ["x", "x_2", "x_3", "x_4", "x_2_2", "", "_2", "x_3_2"];
        assert_eq!(given, expected.map(|name| name.as_bytes().to_vec()));
    }
}
