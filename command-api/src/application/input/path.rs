//! The path of a field in an input.

use std::fmt;

/// The steps from the whole input to a field. Each representation writes them in its own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The field with this name.
    Name(&'static str),
    /// The item of a list with this index, counted from 0.
    Index(usize),
}

impl FieldPath {
    /// The input as a whole.
    pub const fn whole() -> Self {
        Self(Vec::new())
    }

    /// The steps, from the outside to the inside.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// The path of a field of the input.
impl From<&'static str> for FieldPath {
    fn from(name: &'static str) -> Self {
        Self(vec![Step::Name(name)])
    }
}

/// The path of a field in an object.
impl From<(&'static str, &'static str)> for FieldPath {
    fn from((object, name): (&'static str, &'static str)) -> Self {
        Self(vec![Step::Name(object), Step::Name(name)])
    }
}

/// The path of an item in a list.
impl From<(&'static str, usize)> for FieldPath {
    fn from((list, index): (&'static str, usize)) -> Self {
        Self(vec![Step::Name(list), Step::Index(index)])
    }
}

/// The path of a field in an item of a list.
impl From<(&'static str, usize, &'static str)> for FieldPath {
    fn from((list, index, name): (&'static str, usize, &'static str)) -> Self {
        Self(vec![Step::Name(list), Step::Index(index), Step::Name(name)])
    }
}

/// The path of a field in a nested list: the outer list and the index in it, the inner list and the
/// index in it, and the field.
impl From<(&'static str, usize, &'static str, usize, &'static str)> for FieldPath {
    fn from(
        (list, index, inner, at, name): (&'static str, usize, &'static str, usize, &'static str),
    ) -> Self {
        let mut path = Self::from((list, index, inner));
        path.0.extend([Step::Index(at), Step::Name(name)]);
        path
    }
}

/// The path in the form for logs: `lines[0].quantity`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("input");
        }
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
