//! Which mail server to use, and how, as its URL says.

use anyhow::Context as _;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use url::Url;

/// A mail server and the way to it.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<Credentials>,
    pub(super) hello: ClientId,
}

/// How the connection is protected.
#[derive(Clone)]
pub(super) enum Security {
    None,
    /// STARTTLS, and no mail without it.
    StartTls(TlsParameters),
    /// STARTTLS if the server offers it, which anyone in between can prevent.
    IfOffered(TlsParameters),
    /// TLS from the first byte.
    Tls(TlsParameters),
}

impl Server {
    /// # Errors
    /// The URL is of another form, or the certificates cannot be read. Never repeats the URL.
    pub(super) fn new(url: &str, ca_pem: Option<&str>) -> anyhow::Result<Self> {
        const FORM: &str = "email.url has to look like smtp://user:password@host:587?tls=required";
        let url = Url::parse(url).context(FORM)?;
        let host = url.host_str().context(FORM)?.to_owned();
        let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
        let parameters = || parameters(&host, ca_pem);
        let (security, port) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (Security::None, 25),
            ("smtp", Some("required")) => (Security::StartTls(parameters()?), 587),
            ("smtp", Some("opportunistic")) => (Security::IfOffered(parameters()?), 587),
            ("smtps", None) => (Security::Tls(parameters()?), 465),
            _ => anyhow::bail!("{FORM}, or smtps://user:password@host:465"),
        };
        let path = url.path().trim_matches('/');
        let hello =
            if path.is_empty() { ClientId::default() } else { ClientId::Domain(path.to_owned()) };
        let port = url.port().unwrap_or(port);
        Ok(Self { port, security, login: login(&url)?, hello, host })
    }
}

fn login(url: &Url) -> anyhow::Result<Option<Credentials>> {
    let decoded = |text| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(String::from).context("email.url: user and password have to be UTF-8")
    };
    let Some(password) = url.password() else { return Ok(None) };
    Ok(Some(Credentials::new(decoded(url.username())?, decoded(password)?)))
}

fn parameters(host: &str, ca_pem: Option<&str>) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca_pem {
        let has_some = pem.contains("-----BEGIN CERTIFICATE-----");
        anyhow::ensure!(has_some, "email.ca_file holds no certificates; it has to be PEM");
        let certificate = Certificate::from_pem(pem.as_bytes())
            .map_err(|error| anyhow::anyhow!("email.ca_file cannot be read: {error}"))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| anyhow::anyhow!("TLS cannot be set up for e-mail: {error}"))
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
