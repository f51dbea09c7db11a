//! Who the operator is to a gateway, from the Secret that a Flow names.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use super::words::Fault;
use crate::api::Reason;
use crate::api::gateway::{GatewayAccess, GatewayAuthType};
use crate::causes::chain;
use crate::gateway::{Hidden, Trust};
use crate::operator::lookup;
use crate::plan::certificates::{CA, file};

/// What is shown to a gateway, and whom to believe there.
pub(super) struct Login {
    /// The whole `Authorization` header.
    pub(super) authorization: String,
    /// None: it is not spoken to over TLS.
    pub(super) trust: Option<Trust>,
    /// What is not shown of it, wherever words of the gateway are.
    pub(super) hidden: Hidden,
}

/// Reads the Secrets.
pub(super) async fn read(client: &Client, namespace: &str, access: &GatewayAccess) -> Result<Login, Fault> {
    let secret = secret(client, namespace, &access.auth.secret_name, true).await?;
    let value = |key: &str| text(&secret, (namespace, &access.auth.secret_name), key);
    let (authorization, password) = match access.auth.type_ {
        GatewayAuthType::Basic => {
            let (user, password) = (value("username")?, value("password")?);
            (format!("Basic {}", base64(&format!("{user}:{password}"))), password)
        }
        GatewayAuthType::JupyterHub => {
            let token = value("token")?;
            (format!("jupyterhub {token}"), token)
        }
        GatewayAuthType::Kerberos => {
            return Err(Fault::refused("auth.type: Kerberos is not supported".to_owned()));
        }
    };
    let is_secure = access.rest().is_some_and(|rest| rest.is_secure);
    let trust = if is_secure { Some(trust(client, namespace, access).await?) } else { None };
    let hidden = Hidden::of(&authorization, &password);
    Ok(Login { authorization, trust, hidden })
}

async fn trust(client: &Client, namespace: &str, access: &GatewayAccess) -> Result<Trust, Fault> {
    let Some(ca) = &access.ca else {
        return Trust::of_system().map_err(|error| Fault::of(access, &error));
    };
    let secret = secret(client, namespace, &ca.secret_name, false).await?;
    let data = secret.data.unwrap_or_default();
    Trust::of_pem(file(&data, CA)).map_err(|error| {
        let message = format!("Secret {namespace}/{}: {CA}: {error}", ca.secret_name);
        Fault { reason: Reason::CertificateNotPEM, ..Fault::refused(message) }
    })
}

async fn secret(client: &Client, namespace: &str, name: &str, is_login: bool) -> Result<Secret, Fault> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = lookup::by_name(&api, name).await.map_err(|error| {
        tracing::warn!(error = chain(&error), "a Secret of a gateway could not be read");
        Fault::refused(format!("the Secret {namespace}/{name} could not be read"))
    })?;
    found.ok_or_else(|| {
        let message = format!("there is no Secret {namespace}/{name} with the login of the gateway");
        let message =
            if is_login { message } else { format!("there is no Secret {namespace}/{name} with {CA}") };
        Fault { reason: Reason::SecretNotFound, lacks_login: is_login, ..Fault::refused(message) }
    })
}

/// The text of a key, without the line break that many editors leave at its end.
fn text(secret: &Secret, (namespace, name): (&str, &str), key: &str) -> Result<String, Fault> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        let message = format!("the Secret {namespace}/{name} has no {key}");
        return Err(Fault { reason: Reason::SecretKeyMissing, ..Fault::refused(message) });
    }
    Ok(text.to_owned())
}

/// Kubernetes writes bytes in objects as Base64.
fn base64(text: &str) -> String {
    let written = serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap_or_default();
    written.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_password_are_written_as_browsers_write_them() {
        assert_eq!(base64("alice:s3cret"), "YWxpY2U6czNjcmV0");
    }
}
