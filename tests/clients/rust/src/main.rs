//! OpenFeature's Rust SDK, with its OFREP provider, against a running gateway.

use open_feature::{Client, EvaluationContext, EvaluationErrorCode, OpenFeature, StructValue, Value};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use reqwest::header::{AUTHORIZATION, HeaderMap, ORIGIN};

async fn client(headers: HeaderMap) -> Client {
    let base_url = std::env::var("FLAGGATE_URL").expect("FLAGGATE_URL is set");
    let options = OfrepOptions { base_url, headers, ..OfrepOptions::default() };
    let provider = OfrepProvider::new(options).await.expect("the provider starts");
    let mut api = OpenFeature::singleton_mut().await;
    api.set_provider(provider).await;
    api.create_client()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let token = std::env::var("FLAGGATE_TOKEN").ok().filter(|token| !token.is_empty());
    let mut headers = HeaderMap::new();
    if let Some(token) = &token {
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("a token is text"));
    }
    let flags = client(headers.clone()).await;
    let ann = EvaluationContext::default().with_targeting_key("ann").with_custom_field("plan", "free");
    let pro = EvaluationContext::default().with_targeting_key("ann").with_custom_field("plan", "pro");
    let nobody = EvaluationContext::default();

    // The four types.
    let on = flags.get_bool_details("on", Some(&ann), None).await.expect("a value");
    assert_eq!((on.value, on.variant.as_deref()), (true, Some("true")));
    let theme = flags.get_string_details("theme", Some(&ann), None).await.expect("a value");
    assert_eq!((&*theme.value, theme.variant.as_deref()), ("dark", Some("dark")));
    let ratio = flags.get_float_details("ratio", Some(&ann), None).await.expect("a value");
    assert_eq!((ratio.value, ratio.variant.as_deref()), (0.25, Some("0.25")));
    let limit = flags.get_float_details("limit", Some(&ann), None).await.expect("a value");
    assert_eq!((limit.value, limit.variant.as_deref()), (10.0, Some("10")));
    let layout = flags.get_struct_details::<Layout>("layout", Some(&ann), None).await.expect("a value");
    assert_eq!(layout.value, Layout { columns: 2, areas: 2, wide: true });

    // Other contexts.
    assert_eq!(flags.get_string_value("theme", Some(&pro), None).await.expect("a value"), "light");
    assert!(flags.get_bool_value("everyone", Some(&ann), None).await.expect("a value"));
    assert!(flags.get_bool_value("on", Some(&nobody), None).await.expect("a value"));

    // The errors. This provider calls every 400 an invalid context.
    let code = async |flag: &str, context: &EvaluationContext| {
        flags.get_bool_value(flag, Some(context), None).await.expect_err("an error").code
    };
    assert_eq!(code("gone", &ann).await, EvaluationErrorCode::FlagNotFound);
    assert_eq!(code("half", &nobody).await, EvaluationErrorCode::InvalidContext);
    assert_eq!(code("broken", &ann).await, EvaluationErrorCode::InvalidContext);
    assert_eq!(code("theme", &ann).await, EvaluationErrorCode::ParseError);
    let mut wrong = vec![(ORIGIN, "https://elsewhere.example")];
    if token.is_some() {
        wrong.push((AUTHORIZATION, "Bearer wrong"));
    }
    for (name, value) in wrong {
        let mut headers = headers.clone();
        headers.insert(name, value.parse().expect("a header"));
        let refused = client(headers).await.get_bool_value("on", Some(&ann), None).await.expect_err("an error");
        assert!(matches!(refused.code, EvaluationErrorCode::General(_)), "{refused:?}");
        assert_eq!(refused.message.as_deref(), Some("authentication/authorization error"));
    }
    println!("rust: all checks passed");
}

#[derive(Debug, PartialEq)]
struct Layout {
    columns: i64,
    areas: usize,
    wide: bool,
}

impl TryFrom<StructValue> for Layout {
    type Error = String;

    fn try_from(fields: StructValue) -> Result<Self, String> {
        let field = |name: &str| fields.fields.get(name).ok_or_else(|| format!("{name} is missing"));
        let areas = match field("areas")? {
            Value::Array(areas) => areas.len(),
            other => return Err(format!("areas is {other:?}")),
        };
        let columns = field("columns")?.as_i64().ok_or("columns is no whole number")?;
        Ok(Self { columns, areas, wide: field("wide")?.as_bool().ok_or("wide is no boolean")? })
    }
}
