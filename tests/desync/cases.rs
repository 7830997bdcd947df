//! Requests that can be read in more than one way.

use std::{fs, path::Path};

use serde::Deserialize;

/// What is expected of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// It has to be refused, and its connection closed.
    Severe,
    /// It has to be taken.
    Compliant,
    /// It may be taken or not.
    Unclear,
}

/// One request.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) tier: Tier,
    pub(crate) request: Vec<u8>,
}

impl Case {
    pub(crate) fn text(&self) -> String {
        self.request.escape_ascii().to_string().chars().take(400).collect()
    }
}

/// Compliant by the older RFC 7230 or in the eyes of the suite, and refused here all the same.
const REFUSED: [(&str, &str); 9] = [
    // RFC 9112, 7.1: parameters of `chunked` should be treated as an error.
    ("TE with custom parameters OK", "chunked with parameters"),
    ("Transfer-Encoding with a param: chunked;custom_param", "chunked with parameters"),
    // `X_User_Id` is `X-User-Id` to many an upstream.
    ("Valid custom header with tchar in name and obs-text", "an underscore in a header's name"),
    ("Valid custom header with underscore in name", "an underscore in a header's name"),
    // RFC 9112, 3.2: a target is never empty, and ASCII.
    ("International in URI", "a target that is not ASCII"),
    ("Empty URI", "no target"),
    // What is not encoded, which is severe, comes encoded from pingora's parser: both are refused.
    ("%09 in URI is OK", "a control character"),
    ("%0D in URI is OK", "a control character"),
    ("%0A in URI is OK", "a control character"),
];

/// What follows in the body.
const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[derive(Deserialize)]
struct Written {
    name: String,
    uri: String,
    method: String,
    version: String,
    #[serde(default)]
    headers: Option<Vec<Header>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Expected {
    tier: String,
}

/// All cases; each says its number in `X-Case`.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    written(&mut cases);
    lengths(&mut cases);
    chunks(&mut cases);
    cases
}

/// A request with its number, these lines, and a body that fits the length that it says.
fn request(number: usize, first: &str, lines: &str, body: Option<&str>) -> Vec<u8> {
    let mut request = format!("{first}\r\nHost: a.example\r\nX-Case: {number}\r\n{lines}\r\n");
    let says = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    let length: Option<usize> = lines.split("\r\n").find_map(says).filter(|length| *length < 8 << 20);
    let body = body.unwrap_or(SMUGGLED);
    request.push_str(body);
    let left = length.unwrap_or(0).saturating_sub(body.len());
    request.extend(std::iter::repeat_n('x', left));
    request.into_bytes()
}

/// The cases of the suite in `tests/data/http-desync`.
fn written(cases: &mut Vec<Case>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/http-desync");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    for file in files {
        let all: Vec<Written> = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for Written { name, uri, method, version, headers, expected } in all {
            let tier = match &*expected.tier {
                "Severe" => Tier::Severe,
                "Compliant" if REFUSED.iter().any(|(refused, _)| *refused == name) => Tier::Unclear,
                "Compliant" => Tier::Compliant,
                "Acceptable" | "Ambiguous" => Tier::Unclear,
                other => panic!("an unknown tier: {other}"),
            };
            let space = if version.is_empty() { "" } else { " " };
            let lines: String = headers
                .iter()
                .flatten()
                .map(|Header { name, value }| match value {
                    Value::Number(number) => format!("{name}: {number}\r\n"),
                    Value::Text(text) => format!("{name}: {text}\r\n"),
                })
                .collect();
            let chunked = "4\r\nbody\r\n0\r\n\r\n";
            let body =
                if tier == Tier::Compliant { Some(if lines.contains("chunked") { chunked } else { "" }) } else { None };
            let request = request(cases.len(), &format!("{method} {uri}{space}{version}"), &lines, body);
            cases.push(Case { name, tier, request });
        }
    }
}

/// Ways to say that a body is chunked beside ways to say how long it is.
fn lengths(cases: &mut Vec<Case>) {
    let codings = [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding:chunked",
        "Transfer-Encoding:\tchunked\t",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "TRANSFER-ENCODING: CHUNKED",
        "Transfer-Encoding: chun\tked",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: chunked,",
        "Transfer\u{0}-Encoding: chunked",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    ];
    let lengths = [
        "",
        "Content-Length: 49\r\n",
        "Content-Length: +49\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 49, 49\r\n",
        "Content-Length: 49\r\nContent-Length: 5\r\n",
        "Content-Length: 0x31\r\n",
        "Connection: Content-Length\r\nContent-Length: 49\r\n",
    ];
    for coding in codings {
        for length in lengths {
            for lines in [format!("{coding}\r\n{length}"), format!("{length}{coding}\r\n")] {
                let request = request(cases.len(), "POST /length HTTP/1.1", &lines, None);
                cases.push(Case { name: format!("{coding:?} and {length:?}"), tier: Tier::Unclear, request });
            }
        }
    }
}

/// Chunks that are not quite as they should be, and what comes after the last.
fn chunks(cases: &mut Vec<Case>) {
    let bodies = [
        "5;ext\r\nhello\r\n",
        "5;ext=\"\r\n\"\r\nhello\r\n",
        "05\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\n",
        "5\r\nhello",
        "5\r\nhelloXX",
        "\r\n5\r\nhello\r\n",
        "g\r\nhello\r\n",
        "\r\n",
        "5\r\r\nhello\r\n",
        "5\r\nhello\n",
        "FFFFFFFFFFFFFFFF5\r\nhello\r\n",
        "10000000000000000\r\nhello\r\n",
        "8000000000000000\r\nhello\r\n",
        "5\u{0}\r\nhello\r\n",
        "5\r\nhello\r\n0;a\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\n\n",
        "0\n\n",
        "00000000000000000000\r\n\r\n",
        "0\r\nX-Request-Id: 1\r\nHost: b\r\n\r\n",
    ];
    for body in bodies {
        let all = format!("{body}{SMUGGLED}");
        let request = request(cases.len(), "POST /chunks HTTP/1.1", "Transfer-Encoding: chunked\r\n", Some(&all));
        cases.push(Case { name: format!("the chunks {body:?}"), tier: Tier::Unclear, request });
    }
}
