//! The tokens of a query.

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name, or an operator that is a word.
    Word(String),
    /// A number.
    Number,
    /// A text in quotes.
    Text(String),
    /// A time in brackets, such as `[5m]`.
    Range,
    /// An operator or a bracket.
    Symbol(String),
}

/// Longer ones first.
const SYMBOLS: [&str; 20] = [
    "==", "!=", ">=", "<=", "=~", "!~", "=", ">", "<", "+", "-", "*", "/", "(", ")", "{", "}", ",", "%", "^",
];
/// What Grafana puts in:
/// <https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/>.
const RATE_INTERVAL: &str = "$__rate_interval";

/// Takes a query apart.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' => {
                let end = rest[1..].find('"').ok_or("a quote is not closed")?;
                (Token::Text(rest[1..=end].to_owned()), end + 2)
            }
            '[' => {
                let end = rest.find(']').ok_or("[ is not closed")?;
                let time = &rest[1..end];
                if time != RATE_INTERVAL && !is_duration(time) {
                    return Err(format!("[{time}] is no time"));
                }
                (Token::Range, end + 1)
            }
            '0'..='9' => (Token::Number, length(rest, |letter| letter.is_ascii_digit() || letter == '.')),
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = length(rest, |letter| letter.is_ascii_alphanumeric() || letter == '_');
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| format!("{first:?} is unknown"))?;
                (Token::Symbol(symbol.to_owned()), symbol.len())
            }
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn length(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !belongs(letter)).unwrap_or(text.len())
}

/// Whether this is a time as Prometheus writes it, such as `5m` or `1d`.
pub fn is_duration(text: &str) -> bool {
    let number = length(text, |letter| letter.is_ascii_digit());
    number > 0 && matches!(&text[number..], "s" | "m" | "h" | "d" | "w")
}
