//! Reads forms, as Stripe's clients send them: `metadata[order_id]=…`.

use std::collections::BTreeMap;

/// The fields of a form or a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The fields `name[…]`, by what is in their brackets.
    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        let fields = self.0.iter().filter_map(|(field, value)| {
            let inner = field.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            Some((inner.to_owned(), value.clone()))
        });
        fields.collect()
    }
}
