//! The names that the settings mention, numbered once; a log's shape knows where they are among its keys.

use crate::text::is_written_as;

/// Number of a name in `FieldNames`.
pub type Field = usize;

/// All names that the settings mention.
#[derive(Clone, Default)]
pub struct FieldNames(Vec<Vec<u8>>);

impl FieldNames {
    pub fn add(&mut self, name: &[u8]) -> Field {
        if let Some(found) = self.0.iter().position(|other| other == name) {
            return found;
        }
        self.0.push(name.to_vec());
        self.0.len() - 1
    }

    /// Where each name first is among the keys.
    pub fn places(&self, keys: &[Vec<u8>]) -> Vec<Option<u32>> {
        let place = |name: &Vec<u8>| keys.iter().position(|key| is_written_as(key, name)).map(|found| found as u32);
        self.0.iter().map(place).collect()
    }

    pub fn name(&self, field: Field) -> &[u8] {
        &self.0[field]
    }
}
