//! Names and values: of an address after its `?`, and of a form.

/// Names and values in their order; a name may be there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what a browser writes (`application/x-www-form-urlencoded`). Every text is one.
    pub fn of(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The value of a name, the first one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name, unless it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The values whose names begin so, with the rest of their names.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// The same with another value of one name; an empty one leaves it out.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.0.clone();
        pairs.retain(|(found, _)| found != name);
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Self(pairs)
    }

    /// As it stands in an address, with the `?`; nothing where it has nothing.
    pub fn address(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        format!("?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        let query = Query::of(b"q=a+b%26&p.days=7&p.region=&page=2");
        assert_eq!((query.get("q"), query.get("none"), query.text("p.region")), (Some("a b&"), None, None));
        assert_eq!(query.with_prefix("p.").collect::<Vec<_>>(), [("days", "7"), ("region", "")]);
        assert_eq!(query.with("page", "3").address(), "?q=a+b%26&p.days=7&p.region=&page=3");
        assert_eq!(Query::default().with("page", "").address(), "");
    }
}
