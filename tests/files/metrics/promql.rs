//! As much of `PromQL` as the dashboard and the alerts need, held against a table of metrics. What it does
//! not know it refuses, so a query of another form needs a line here first.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/basics/>

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, tokens};

/// A series that can be queried.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// Whether it only grows, so that it has a rate.
    pub grows: bool,
}

/// What can be queried, by name.
pub type Known = BTreeMap<String, Series>;

/// What a query is about.
#[derive(Debug, Default)]
pub struct Query {
    /// The series that it names.
    pub names: BTreeSet<String>,
    /// The labels that it picks by one value: series, label and value.
    pub picks: Vec<(String, String, String)>,
    /// The labels of its result.
    pub labels: BTreeSet<String>,
}

/// What a part of a query gives.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    Vector(BTreeSet<String>),
    /// With the samples of a time; whether it only grows.
    Range(BTreeSet<String>, bool),
}

const AGGREGATIONS: [&str; 3] = ["sum", "min", "max"];
/// Operators, and how strongly they bind.
const OPERATORS: [(&str, u8); 12] = [
    ("or", 1),
    ("and", 2),
    ("==", 3),
    ("!=", 3),
    (">", 3),
    ("<", 3),
    (">=", 3),
    ("<=", 3),
    ("+", 4),
    ("-", 4),
    ("*", 5),
    ("/", 5),
];

/// Reads a query.
pub fn read(text: &str, known: &Known) -> Result<Query, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, known, query: Query::default() };
    let kind = parser.expression(0)?;
    if let Some(token) = parser.peek() {
        return Err(format!("{token:?} is too much"));
    }
    let Kind::Vector(labels) = kind else { return Err(format!("{kind:?} is no result")) };
    parser.query.labels = labels;
    Ok(parser.query)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    known: &'a Known,
    query: Query,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it breaks off")?;
        self.at += 1;
        Ok(token)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Symbol(there)) if there == symbol);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.take(symbol) { Ok(()) } else { Err(format!("{symbol} is missing before {:?}", self.peek())) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(format!("{other:?} is no name")),
        }
    }

    /// An expression whose operators bind more strongly than `least`.
    fn expression(&mut self, least: u8) -> Result<Kind, String> {
        let mut left = self.operand()?;
        while let Some((operator, strength)) = self.operator().filter(|(_, strength)| *strength > least) {
            self.at += 1;
            let right = self.expression(strength)?;
            left = combined(left, operator, right)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(&'static str, u8)> {
        let (Token::Symbol(text) | Token::Word(text)) = self.peek()? else { return None };
        OPERATORS.into_iter().find(|(operator, _)| operator == text)
    }

    fn operand(&mut self) -> Result<Kind, String> {
        match self.next()? {
            Token::Number => Ok(Kind::Scalar),
            Token::Symbol(symbol) if symbol == "(" => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Word(word) if AGGREGATIONS.contains(&word.as_str()) => self.aggregation(),
            Token::Word(word) if self.take("(") => self.call(&word),
            Token::Word(word) => self.selector(word),
            other => Err(format!("{other:?} is no operand")),
        }
    }

    fn aggregation(&mut self) -> Result<Kind, String> {
        let mut kept = BTreeSet::new();
        if matches!(self.peek(), Some(Token::Word(word)) if word == "by") {
            self.at += 1;
            self.expect("(")?;
            while !self.take(")") {
                kept.insert(self.word()?);
                self.take(",");
            }
        }
        self.expect("(")?;
        let inner = self.expression(0)?;
        self.expect(")")?;
        let Kind::Vector(labels) = inner else { return Err(format!("{inner:?} cannot be aggregated")) };
        match kept.difference(&labels).next() {
            Some(unknown) => Err(format!("there is no label {unknown} in {labels:?}")),
            None => Ok(Kind::Vector(kept)),
        }
    }

    fn call(&mut self, function: &str) -> Result<Kind, String> {
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.expression(0)?);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        match (function, arguments.as_slice()) {
            ("rate" | "increase", [Kind::Range(labels, true)])
            | ("max_over_time", [Kind::Range(labels, false)]) => Ok(Kind::Vector(labels.clone())),
            ("rate" | "increase", [Kind::Range(_, false)]) => {
                Err(format!("{function} of what does not only grow"))
            }
            ("histogram_quantile", [Kind::Scalar, Kind::Vector(labels)]) if labels.contains("le") => {
                Ok(Kind::Vector(labels.iter().filter(|label| *label != "le").cloned().collect()))
            }
            ("absent", [Kind::Vector(_)]) | ("vector", [Kind::Scalar]) => Ok(Kind::Vector(BTreeSet::new())),
            ("time", []) => Ok(Kind::Scalar),
            _ => Err(format!("{function} does not take {arguments:?}")),
        }
    }

    fn selector(&mut self, name: String) -> Result<Kind, String> {
        let series = self.known.get(&name).ok_or_else(|| format!("there is no metric {name}"))?;
        if self.take("{") {
            while !self.take("}") {
                self.matcher(&name, series)?;
                self.take(",");
            }
        }
        self.query.names.insert(name);
        if matches!(self.peek(), Some(Token::Range)) {
            self.at += 1;
            return Ok(Kind::Range(series.labels.clone(), series.grows));
        }
        Ok(Kind::Vector(series.labels.clone()))
    }

    fn matcher(&mut self, name: &str, series: &Series) -> Result<(), String> {
        let label = self.word()?;
        if !series.labels.contains(&label) {
            return Err(format!("{name} has no label {label}"));
        }
        let operator = ["=", "!=", "=~", "!~"].into_iter().find(|operator| self.take(operator));
        let operator = operator.ok_or_else(|| format!("{label} is not compared with anything"))?;
        let Token::Text(value) = self.next()? else {
            return Err(format!("{label} is compared with no text"));
        };
        let values = if operator.ends_with('~') { value.split('|').collect() } else { vec![value.as_str()] };
        // What is left out need not exist, and what a pattern stands for is not known here.
        for value in values.into_iter().filter(|value| operator.starts_with('=') && !value.contains('.')) {
            self.query.picks.push((name.to_owned(), label.clone(), value.to_owned()));
        }
        Ok(())
    }
}

/// Two sides of an operator. Vectors match where all their labels do, so both must have the same ones.
fn combined(left: Kind, operator: &str, right: Kind) -> Result<Kind, String> {
    let is_of_sets = matches!(operator, "or" | "and");
    match (left, right) {
        (Kind::Scalar, Kind::Scalar) if !is_of_sets => Ok(Kind::Scalar),
        (Kind::Vector(labels), Kind::Scalar) | (Kind::Scalar, Kind::Vector(labels)) if !is_of_sets => {
            Ok(Kind::Vector(labels))
        }
        (Kind::Vector(left), Kind::Vector(right)) if left == right => Ok(Kind::Vector(left)),
        (left, right) => Err(format!("{left:?} {operator} {right:?} never matches")),
    }
}
