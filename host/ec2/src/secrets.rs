//! AWS Secrets Manager: many secrets in one call.

use std::collections::BTreeMap;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;

use crate::client::config;
use crate::{Error, ErrorKind, Options};

/// Secrets of one call of BatchGetSecretValue: the most that it takes.
const AT_ONCE: usize = 20;

/// The values of secrets, by the names or ARNs that they were asked for; or why one has none.
///
/// Needs `secretsmanager:BatchGetSecretValue` and `GetSecretValue`; without the former they are asked for one by one.
///
/// # Errors
/// Where there is no region, or nobody could be asked at all.
pub async fn secrets(options: &Options, names: &[String]) -> Result<BTreeMap<String, Result<String, String>>, Error> {
    let (config, _) = config(options).await?;
    let client = Client::new(&config);
    let mut found = BTreeMap::new();
    for names in names.chunks(AT_ONCE) {
        match batch(&client, names).await {
            Ok(answers) => found.extend(answers),
            Err(e) if e.kind == ErrorKind::Forbidden => found.extend(one_by_one(&client, names).await),
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

async fn batch(client: &Client, names: &[String]) -> Result<BTreeMap<String, Result<String, String>>, Error> {
    let mut found = BTreeMap::new();
    let mut token = None;
    loop {
        let ask = client.batch_get_secret_value().set_secret_id_list(Some(names.to_vec())).set_next_token(token);
        let page = ask.send().await.map_err(|e| Error::of("BatchGetSecretValue", &e))?;
        for entry in page.secret_values() {
            let is_asked =
                |name: &&String| entry.name() == Some(name) || entry.arn().is_some_and(|arn| is_arn(arn, name));
            let value = text(entry.secret_string(), entry.secret_binary());
            found.extend(names.iter().filter(is_asked).map(|name| (name.clone(), value.clone())));
        }
        for error in page.errors() {
            let why = [error.error_code(), error.message()].into_iter().flatten().collect::<Vec<_>>().join(": ");
            found.insert(error.secret_id().unwrap_or_default().to_owned(), Err(why));
        }
        token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// Whether this is the ARN of a secret that was asked for by an ARN; a partial one lacks the hyphen and the six letters that AWS adds.
fn is_arn(arn: &str, asked: &str) -> bool {
    let rest = arn.strip_prefix(asked).filter(|_| asked.starts_with("arn:"));
    rest.is_some_and(|rest| rest.is_empty() || (rest.len() == 7 && rest.starts_with('-')))
}

async fn one_by_one(client: &Client, names: &[String]) -> BTreeMap<String, Result<String, String>> {
    let mut found = BTreeMap::new();
    for name in names {
        let value = match client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => text(answer.secret_string(), answer.secret_binary()),
            Err(e) => Err(match e.code() {
                Some(code) => format!("{code}: {}", e.message().unwrap_or_default()),
                None => Error::of("GetSecretValue", &e).to_string(),
            }),
        };
        found.insert(name.clone(), value);
    }
    found
}

fn text(string: Option<&str>, binary: Option<&Blob>) -> Result<String, String> {
    match (string, binary) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(bytes)) => {
            String::from_utf8(bytes.as_ref().to_vec()).map_err(|_| "it is binary, and no text".into())
        }
        (None, None) => Err("it is empty".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_whole_arn_or_all_of_it_but_what_aws_adds() {
        let arn = "arn:aws:secretsmanager:us-east-1:1:secret:dev/app-a1B2c3";
        for asked in [arn, "arn:aws:secretsmanager:us-east-1:1:secret:dev/app"] {
            assert!(is_arn(arn, asked), "{asked}");
        }
        for asked in ["a", "arn", "arn:aws:secretsmanager:us-east-1:1:secret:dev/ap", "dev/app"] {
            assert!(!is_arn(arn, asked), "{asked}");
        }
    }
}
