//! The language in which one segment is made of others: `high_value AND (ios OR android) AND NOT churned`.
//!
//! NOT binds closer than AND, AND closer than OR. Words are read in any case; a name is a word of letters, digits, dots,
//! underscores and dashes, or any text in double quotes, where `\"` and `\\` stand for a quote and a backslash.

use std::iter::Peekable;

use super::SegmentIndex;

/// The longest expression that is read, in bytes.
const MAX_BYTES: usize = 4096;

/// How deep parentheses and NOTs may nest.
const MAX_DEPTH: usize = 64;

/// An expression over segments; `S` names one: first by its id, then by its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression<S = SegmentIndex> {
    /// Member of this segment.
    Member(S),
    /// Not so.
    Not(Box<Self>),
    /// All hold.
    All(Vec<Self>),
    /// At least one holds.
    Any(Vec<Self>),
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {message}")]
pub struct ExpressionError {
    /// Where, in characters from 1.
    pub at: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl<S> Expression<S> {
    /// Whether it holds for who is a member of these segments. Where the expression asks whether somebody is *not* a
    /// member of one, `excluded` is asked instead; it says the same unless segments lead back to themselves.
    pub fn holds<I: Fn(&S) -> bool, E: Fn(&S) -> bool>(&self, included: &I, excluded: &E) -> bool {
        match self {
            Self::Member(segment) => included(segment),
            Self::Not(inner) => !inner.holds(excluded, included),
            Self::All(parts) => parts.iter().all(|part| part.holds(included, excluded)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(included, excluded)),
        }
    }

    /// The same over other names; `None`: one has no other name.
    pub fn rename<T>(&self, name: &impl Fn(&S) -> Option<T>) -> Option<Expression<T>> {
        let all = |parts: &[Self]| parts.iter().map(|part| part.rename(name)).collect::<Option<Vec<_>>>();
        Some(match self {
            Self::Member(segment) => Expression::Member(name(segment)?),
            Self::Not(inner) => Expression::Not(Box::new(inner.rename(name)?)),
            Self::All(parts) => Expression::All(all(parts)?),
            Self::Any(parts) => Expression::Any(all(parts)?),
        })
    }

    /// The segments that it names, in its order; one may come twice.
    pub fn names(&self) -> Vec<&S> {
        match self {
            Self::Member(segment) => vec![segment],
            Self::Not(inner) => inner.names(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::names).collect(),
        }
    }
}

impl Expression<String> {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is longer than 4 KiB, nests deeper than 64 levels, or is not in the language: where, and what was expected.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_BYTES {
            let message = format!("the expression is {} bytes long; at most {MAX_BYTES} are read", text.len());
            return Err(ExpressionError { at: 1, message });
        }
        let tokens = tokens(text)?;
        let end = text.chars().count() + 1;
        let mut parser = Parser { tokens: tokens.into_iter().peekable(), end };
        let whole = parser.any(0)?;
        match parser.tokens.next() {
            None => Ok(whole),
            Some((at, Token::Close)) => Err(error(at, "there is no ( for this )")),
            Some((at, token)) => Err(error(at, &format!("expected AND, OR or the end, found {}", token.show()))),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Name(String),
}

impl Token {
    fn show(&self) -> String {
        match self {
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
            Self::And => "AND".to_owned(),
            Self::Or => "OR".to_owned(),
            Self::Not => "NOT".to_owned(),
            Self::Name(name) => format!("the segment {name:?}"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut letters = (1..).zip(text.chars()).peekable();
    let mut tokens = Vec::new();
    while let Some((at, letter)) = letters.next() {
        let token = match letter {
            letter if letter.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '"' => Token::Name(quoted(at, &mut letters)?),
            letter if is_word(letter) => {
                let mut word = String::from(letter);
                while let Some((_, letter)) = letters.next_if(|(_, letter)| is_word(*letter)) {
                    word.push(letter);
                }
                match word.to_ascii_uppercase().as_str() {
                    "AND" => Token::And,
                    "OR" => Token::Or,
                    "NOT" => Token::Not,
                    _ => Token::Name(word),
                }
            }
            '&' | '|' | '!' => {
                let word = match letter {
                    '&' => "AND",
                    '|' => "OR",
                    _ => "NOT",
                };
                return Err(error(at, &format!("unexpected {letter:?}, did you mean {word}?")));
            }
            _ => {
                let message = format!("unexpected {letter:?}; put a name with other letters into double quotes");
                return Err(error(at, &message));
            }
        };
        tokens.push((at, token));
    }
    Ok(tokens)
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

fn quoted(at: usize, letters: &mut impl Iterator<Item = (usize, char)>) -> Result<String, ExpressionError> {
    let mut name = String::new();
    while let Some((_, letter)) = letters.next() {
        match letter {
            '"' if name.is_empty() => return Err(error(at, "the name is empty")),
            '"' => return Ok(name),
            '\\' => name.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => name.push(letter),
        }
    }
    Err(error(at, "the quote is not closed"))
}

struct Parser<T: Iterator<Item = (usize, Token)>> {
    tokens: Peekable<T>,
    end: usize,
}

impl<T: Iterator<Item = (usize, Token)>> Parser<T> {
    fn any(&mut self, depth: usize) -> Result<Expression<String>, ExpressionError> {
        let mut parts = vec![self.all(depth)?];
        while self.tokens.next_if(|(_, token)| *token == Token::Or).is_some() {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression<String>, ExpressionError> {
        let mut parts = vec![self.one(depth)?];
        while self.tokens.next_if(|(_, token)| *token == Token::And).is_some() {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression<String>, ExpressionError> {
        let wanted = "expected a segment, NOT or (";
        let Some((at, token)) = self.tokens.next() else {
            return Err(error(self.end, &format!("{wanted}, found the end")));
        };
        if depth > MAX_DEPTH {
            return Err(error(at, &format!("nested deeper than {MAX_DEPTH} levels")));
        }
        match token {
            Token::Name(name) => Ok(Expression::Member(name)),
            Token::Not => Ok(Expression::Not(Box::new(self.one(depth + 1)?))),
            Token::Open => {
                let inner = self.any(depth + 1)?;
                match self.tokens.next() {
                    Some((_, Token::Close)) => Ok(inner),
                    Some((at, token)) => Err(error(at, &format!("expected AND, OR or ), found {}", token.show()))),
                    None => Err(error(at, "this ( is not closed")),
                }
            }
            Token::Close | Token::And | Token::Or => Err(error(at, &format!("{wanted}, found {}", token.show()))),
        }
    }
}

fn error(at: usize, message: &str) -> ExpressionError {
    ExpressionError { at, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Expression<String> {
        Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn not_binds_closer_than_and_and_and_closer_than_or() {
        let member = |name: &str| Expression::Member(name.to_owned());
        let not = |inner| Expression::Not(Box::new(inner));
        assert_eq!(
            parse("a or NOT b And c"),
            Expression::Any(vec![member("a"), Expression::All(vec![not(member("b")), member("c")])])
        );
        assert_eq!(
            parse("(a OR b) AND NOT (c)"),
            Expression::All(vec![Expression::Any(vec![member("a"), member("b")]), not(member("c"))])
        );
        assert_eq!(parse(r#" "two words" "#), member("two words"));
        assert_eq!(parse(r#""a\"b\\""#), member("a\"b\\"));
        assert_eq!(parse("not.a-word_1"), member("not.a-word_1"));
    }

    #[test]
    fn errors_say_where_and_what_was_expected() {
        for (text, at, message) in [
            ("", 1, "expected a segment, NOT or (, found the end"),
            ("a AND", 6, "expected a segment, NOT or (, found the end"),
            ("a b", 3, "expected AND, OR or the end, found the segment \"b\""),
            ("a && b", 3, "unexpected '&', did you mean AND?"),
            ("!a", 1, "unexpected '!', did you mean NOT?"),
            ("é OR ü", 1, "unexpected 'é'; put a name with other letters into double quotes"),
            ("\"é\" OR OR", 8, "expected a segment, NOT or (, found OR"),
            ("(a OR b", 1, "this ( is not closed"),
            ("(a b)", 4, "expected AND, OR or ), found the segment \"b\""),
            ("a)", 2, "there is no ( for this )"),
            ("a AND \"b", 7, "the quote is not closed"),
            ("\"\"", 1, "the name is empty"),
        ] {
            let error = Expression::parse(text).expect_err(text);
            assert_eq!((error.at, error.message.as_str()), (at, message), "{text}");
        }
        let deep = |levels: usize| Expression::parse(&format!("{}a{}", "(".repeat(levels), ")".repeat(levels)));
        assert!(deep(MAX_DEPTH).is_ok());
        assert_eq!(deep(MAX_DEPTH + 1).expect_err("too deep").at, MAX_DEPTH + 2);
        assert!(Expression::parse(&"NOT ".repeat(1023)).is_err());
        assert!(Expression::parse(&"a OR ".repeat(1000)).expect_err("too long").message.contains("5000 bytes"));
    }

    /// Another way to the same: cuts the text at the loosest word that stands outside all parentheses.
    fn reference(text: &str, members: &BTreeSet<String>) -> bool {
        let text = text.trim();
        for (word, any) in [(" OR ", true), (" AND ", false)] {
            let mut depth = 0;
            for (at, letter) in text.char_indices() {
                match letter {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    ' ' if depth == 0 && text[at..].starts_with(word) => {
                        let (left, right) = (&text[..at], &text[at + word.len()..]);
                        let (left, right) = (reference(left, members), reference(right, members));
                        return if any { left || right } else { left && right };
                    }
                    _ => {}
                }
            }
        }
        if let Some(inner) = text.strip_prefix("NOT ") {
            return !reference(inner, members);
        }
        match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
            Some(inner) => reference(inner, members),
            None => members.contains(text),
        }
    }

    fn expressions() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(str::to_owned);
        name.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|inner| format!("NOT {inner}")),
                inner.clone().prop_map(|inner| format!("({inner})")),
                prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" AND ")),
                prop::collection::vec(inner, 2..4).prop_map(|parts| parts.join(" OR ")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn it_means_what_the_reference_says(text in expressions()) {
            let parsed = parse(&text);
            for chosen in 0..32_u32 {
                let members: BTreeSet<String> =
                    (0..5).filter(|bit| chosen >> bit & 1 == 1).map(|bit| char::from(b'a' + bit).to_string()).collect();
                let is_member = |name: &String| members.contains(name);
                prop_assert_eq!(parsed.holds(&is_member, &is_member), reference(&text, &members), "{}: {:?}", text, members);
            }
        }

        /// More members never take away from it, and more who are excluded never add to it.
        #[test]
        fn it_grows_with_who_is_included(text in expressions(), less in 0..32_u32, more in 0..32_u32) {
            let parsed = parse(&text);
            let among = |chosen: u32| move |name: &String| chosen >> (name.as_bytes()[0] - b'a') & 1 == 1;
            let (less, more) = (less & more, less | more);
            prop_assert!(!parsed.holds(&among(less), &among(more)) || parsed.holds(&among(more), &among(less)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ab ()\"\\\\ANDORT!&|é]{0,60}") {
            if let Err(error) = Expression::parse(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}", error);
            }
        }
    }
}
