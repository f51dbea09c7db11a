//! Why a gateway is of no use, for those who wrote its address.

use crate::api::Reason;
use crate::api::gateway::{GatewayAccess, GatewayAuthType};
use crate::causes::chain;
use crate::dask;
use crate::gateway::Error;

/// Why a gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Fault {
    /// The reason word.
    pub(in crate::operator) reason: Reason,
    /// A sentence.
    pub(in crate::operator) message: String,
    /// The status of an answer that says no.
    pub(in crate::operator) status: Option<u16>,
    /// Whether nothing came of the request.
    pub(in crate::operator) is_certain: bool,
    /// There is no Secret with the login.
    pub(in crate::operator) lacks_login: bool,
}

impl Fault {
    /// Something that somebody has to put right before the gateway can be asked.
    pub(super) fn refused(message: String) -> Self {
        Self { reason: Reason::GatewayRefused, message, status: None, is_certain: true, lacks_login: false }
    }

    /// The address is none. The API server refuses those.
    pub(super) fn no_address(access: &GatewayAccess) -> Self {
        Self::refused(format!("{} is no address of a gateway", access.address))
    }

    /// No connection.
    pub(super) fn unopened(access: &GatewayAccess, error: &dask::Error) -> Self {
        let address = &access.address;
        if let dask::Error::OutOfReach { host } = error {
            return Self::refused(format!(
                "the gateway at {address} is not asked: {host} is not in the networks that the operator connects \
                 to (never a loopback, link-local or metadata address, unless its administrator allows it)"
            ));
        }
        tracing::info!(address, error = chain(error), "the gateway of an address takes no connection");
        Self { reason: Reason::GatewayUnreachable, ..Self::refused(no_gateway(address)) }
    }

    /// What an answer, or its absence, means. That no gateway answers is one text, whatever the cause: it is
    /// the operator that asks, from its own place in the network.
    pub(super) fn of(access: &GatewayAccess, error: &Error) -> Self {
        let address = &access.address;
        let (reason, message) = match error {
            Error::Refused { status, words } if is_of_a_hub(access, *status, words) => {
                (Reason::GatewayRefused, no_token(access, (*status, words)))
            }
            Error::Refused { status, words } => (by_status(*status), refusal(access, (*status, words))),
            Error::Redirected { to } => (
                Reason::GatewayRefused,
                format!(
                    "the gateway at {address} redirects to {to:?}, and redirects are not followed with a login: \
                     write the address that is meant"
                ),
            ),
            Error::Tls(why) => {
                (Reason::GatewayUnreachable, format!("the gateway at {address}: no TLS session: {why}"))
            }
            Error::Unwritable(why) => {
                (Reason::GatewayRefused, format!("the gateway at {address} is not asked: {why}"))
            }
            Error::Cut(_) | Error::Late { .. } | Error::TooLong { .. } | Error::NotUnderstood(_) => {
                tracing::info!(address, error = chain(error), "what answers at an address is no gateway");
                (Reason::GatewayUnreachable, no_gateway(address))
            }
        };
        let status = match error {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        };
        Self { reason, status, is_certain: error.is_certain(), ..Self::refused(message) }
    }
}

fn no_gateway(address: &str) -> String {
    format!(
        "the gateway at {address} does not answer the operator as a Dask Gateway does: is the address right, with its port \
         and prefix, does the gateway run, and does no NetworkPolicy keep the operator out?"
    )
}

/// Whether a gateway is in trouble because its hub refuses to speak of the token that it was shown: that is
/// how a hub treats tokens that it does not know. They are the words of dask-gateway-server.
fn is_of_a_hub(access: &GatewayAccess, status: u16, words: &str) -> bool {
    access.auth.type_ == GatewayAuthType::JupyterHub
        && status == 500
        && words.contains("JupyterHub API token")
}

fn no_token(access: &GatewayAccess, (status, words): (u16, &str)) -> String {
    let (address, secret) = (&access.address, &access.auth.secret_name);
    format!(
        "the hub of the gateway at {address} does not take the token of the Secret {secret} ({status}: {words}): is it a token \
         of this hub, and still valid?"
    )
}

fn by_status(status: u16) -> Reason {
    if status < 500 { Reason::GatewayRefused } else { Reason::GatewayUnreachable }
}

fn refusal(access: &GatewayAccess, (status, words): (u16, &str)) -> String {
    let (address, secret) = (&access.address, &access.auth.secret_name);
    match status {
        401 => {
            let kind = match access.auth.type_ {
                GatewayAuthType::Basic => "Basic",
                GatewayAuthType::JupyterHub => "JupyterHub",
                GatewayAuthType::Kerberos => "Kerberos",
            };
            format!(
                "the gateway at {address} does not take the login of the Secret {secret} (401: {words}): is it the right one, \
                 and of auth.type {kind}?"
            )
        }
        403 => format!(
            "the gateway at {address} does not allow that to the user of the Secret {secret} (403): {words}"
        ),
        404 => format!(
            "the gateway at {address} does not know what it is asked (404: {words}): does the address lack a prefix?"
        ),
        500.. => format!("the gateway at {address} is in trouble ({status}): {words}"),
        _ => format!("the gateway at {address} says no ({status}): {words}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    fn of(error: &Error) -> Fault {
        let mut access = GatewayAccess { address: "https://gw".to_owned(), ..GatewayAccess::default() };
        access.auth.secret_name = "login".to_owned();
        Fault::of(&access, error)
    }

    fn says(status: u16) -> Error {
        Error::Refused { status, words: "its words".to_owned() }
    }

    #[rstest]
    #[case(says(401), Reason::GatewayRefused, "the login of the Secret login (401: its words)")]
    #[case(says(403), Reason::GatewayRefused, "(403): its words")]
    #[case(says(404), Reason::GatewayRefused, "lack a prefix")]
    #[case(says(409), Reason::GatewayRefused, "says no (409): its words")]
    #[case(says(422), Reason::GatewayRefused, "says no (422): its words")]
    #[case(says(503), Reason::GatewayUnreachable, "is in trouble (503): its words")]
    #[case(Error::Redirected { to: "https://x".to_owned() }, Reason::GatewayRefused, "redirects to \"https://x\"")]
    #[case(Error::Tls("UnknownIssuer".to_owned()), Reason::GatewayUnreachable, "no TLS session: UnknownIssuer")]
    fn a_refusal_says_who_has_to_do_what(#[case] error: Error, #[case] reason: Reason, #[case] part: &str) {
        let fault = of(&error);
        assert_eq!(fault.reason, reason);
        assert!(fault.message.contains("https://gw") && fault.message.contains(part), "{}", fault.message);
    }

    /// As captured from dask-gateway-server 2026.3.0 and jupyterhub 6.1.1, for a token that is none.
    #[rstest]
    #[case(
        GatewayAuthType::JupyterHub,
        Reason::GatewayRefused,
        "does not take the token of the Secret login (500"
    )]
    #[case(GatewayAuthType::Basic, Reason::GatewayUnreachable, "is in trouble (500")]
    fn a_token_that_a_hub_does_not_know_is_not_the_gateways_trouble(
        #[case] type_: GatewayAuthType,
        #[case] reason: Reason,
        #[case] part: &str,
    ) {
        let mut access = GatewayAccess { address: "https://gw".to_owned(), ..GatewayAccess::default() };
        access.auth.secret_name = "login".to_owned();
        access.auth.type_ = type_;
        let words = "Permission failure verifying user's JupyterHub API token".to_owned();
        let fault = Fault::of(&access, &Error::Refused { status: 500, words });
        assert_eq!((fault.reason, fault.is_certain), (reason, false));
        assert!(fault.message.contains(part), "{}", fault.message);
    }

    #[test]
    fn that_no_gateway_answers_is_one_text() {
        let errors = [
            Error::Late { limit: Duration::from_secs(3) },
            Error::TooLong { limit: 1 },
            Error::NotUnderstood("x"),
        ];
        let mut texts: Vec<String> = errors.iter().map(|error| of(error).message).collect();
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(errors.iter().all(|error| !of(error).is_certain));
    }
}
