//! Finds the PRI of a syslog message, as the reference's `priority` does.

use crate::field_names::Field;
use crate::fields::{LogView, Template};
use crate::text::{escaped, Plain};
use std::collections::HashMap;

/// Names and their numbers, in lower case.
pub type NumberNames = HashMap<String, u8>;

/// The number that a name or a number stands for.
fn number(word: &[u8], names: &NumberNames) -> Option<u8> {
    let word = String::from_utf8(escaped::<Plain>(word)).ok()?.to_lowercase();
    if let Some(&found) = names.get(&word) {
        return Some(found);
    }
    if word.len() > 2 || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    word.parse().ok().filter(|found| names.values().any(|known| known == found))
}

/// A facility or severity.
#[derive(Clone)]
pub enum Part {
    Constant(u8),
    Template { template: Template, names: NumberNames, default: u8 },
    ByField { field: Field, numbers: HashMap<Vec<u8>, u8>, default: u8 },
}

impl Part {
    /// A name, a number or a template; `text` is what the template was made of.
    pub fn named(text: &str, template: Template, names: NumberNames, default: u8) -> Part {
        match number(text.as_bytes(), &names) {
            Some(constant) => Part::Constant(constant),
            None => Part::Template { template, names, default },
        }
    }

    /// By a field's value; `words` are names of numbers, and the last one counts of several for a value.
    pub fn by_field(field: Field, words: &[(String, String)], default: &str, names: &NumberNames, last: u8) -> Part {
        let known = words.iter().filter_map(|(value, word)| {
            number(word.as_bytes(), names).map(|number| (value.clone().into_bytes(), number))
        });
        let default = number(default.as_bytes(), names).unwrap_or(last);
        Part::ByField { field, numbers: known.collect(), default }
    }

    fn of(&self, log: LogView) -> u8 {
        match self {
            Part::Constant(number) => *number,
            Part::Template { template, names, default } => number(&template.filled(log), names).unwrap_or(*default),
            Part::ByField { field, numbers, default } => {
                let found = log.field(*field, |value| numbers.get(&escaped::<Plain>(value)).copied());
                found.flatten().unwrap_or(*default)
            }
        }
    }
}

/// The PRI of each log.
#[derive(Clone)]
pub struct Priority {
    pub facility: Part,
    pub severity: Part,
}

impl Priority {
    #[inline]
    pub fn is_constant(&self) -> bool {
        matches!((&self.facility, &self.severity), (Part::Constant(_), Part::Constant(_)))
    }

    #[inline]
    pub fn of(&self, log: LogView) -> u32 {
        u32::from(self.facility.of(log)) * 8 + u32::from(self.severity.of(log))
    }
}
