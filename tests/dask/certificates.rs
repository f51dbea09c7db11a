//! Certificates for tests of TLS, made when they are needed: authorities, what they issue, and what is wrong
//! with it.
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The certificate file of X.509 version 1 that `openssl x509 -req -signkey` makes without extensions, valid
/// to 2126.
pub const VERSION_1: &str = include_str!("version1.pem");

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A CA.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A CA of this name, with its own key.
    pub fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A CA that this one has issued.
    pub fn authority(&self, name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate with these names, for anything.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_as(&leaf_params(names))
    }

    /// A certificate that ended in 2020.
    pub fn issue_expired(&self, names: &[&str]) -> Pair {
        self.issue_as(&expired(leaf_params(names)))
    }

    /// A certificate that begins in 3000.
    pub fn issue_early(&self, names: &[&str]) -> Pair {
        let mut params = leaf_params(names);
        params.not_before = date_time_ymd(3000, 1, 1);
        self.issue_as(&params)
    }

    /// A certificate for a key that is there already.
    pub fn issue_for(&self, key: &KeyPair) -> Pair {
        pair(&leaf_params(&[]).signed_by(key, &self.issuer).unwrap(), key)
    }

    fn issue_as(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        pair(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

/// One certificate for everything, that is its own CA: what plain `openssl req -x509` makes.
pub fn self_signed_authority(name: &str) -> Pair {
    self_signed(&authority_params(name))
}

/// One certificate for everything, that says nothing about being a CA: Dask's temporary security, Dask
/// Gateway.
pub fn self_signed_plain(names: &[&str]) -> Pair {
    self_signed(&leaf_params(names))
}

/// The same, ended in 2020.
pub fn self_signed_expired(names: &[&str]) -> Pair {
    self_signed(&expired(leaf_params(names)))
}

fn self_signed(params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    pair(&params.self_signed(&key).unwrap(), &key)
}

fn pair(certificate: &Certificate, key: &KeyPair) -> Pair {
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = leaf_params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "dask");
    // Some Pythons refuse a certificate without it.
    params.use_authority_key_identifier_extension = true;
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = date_time_ymd(2020, 1, 1);
    params
}

/// What `openssl` says to this input.
pub fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test needs the program openssl");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}
