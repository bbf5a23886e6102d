//! The certificates of the recording proxy: a chain as long and as large as that of AWS.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use payment3_stack::process::Tool;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerSessionMemoryCache;

/// The sizes in bytes of the certificates that an AWS endpoint sends: its own, and two up to the root that clients
/// know. The keys are RSA 2048, as AWS's are.
const SIZES: [usize; 3] = [1500, 1100, 1150];
/// ring cannot make RSA keys. Node can, and the local environment needs it anyway. It prints a list of PEM texts.
const MAKE_KEYS: &str = "
const { generateKeyPairSync } = require('node:crypto');
const privateKeyEncoding = { type: 'pkcs8', format: 'pem' };
const publicKeyEncoding = { type: 'spki', format: 'pem' };
const options = { modulusLength: 2048, privateKeyEncoding, publicKeyEncoding };
console.log(JSON.stringify(Array.from({ length: 4 }, () => generateKeyPairSync('rsa', options).privateKey)));
";
/// The id of an extension that no client knows. It carries the padding.
const PADDING: [u64; 6] = [1, 3, 6, 1, 4, 1];

/// How many TLS sessions a port remembers.
const SESSIONS: usize = 256;

/// What the ports need, and what a client needs to trust them.
pub struct Certificates {
    server: ServerConfig,
    /// The root, in a PEM file of its own: what `SSL_CERT_FILE` names.
    pub root_file: PathBuf,
}

impl Certificates {
    /// Makes new ones, and writes the root into `directory`.
    ///
    /// # Errors
    /// Node is missing, or the file cannot be written.
    pub async fn make(directory: &Path, logs: &Path) -> Result<Self> {
        let keys = Tool::new("node")
            .args(["-e", MAKE_KEYS])
            .captured(&logs.join("keys.log"))
            .await?;
        let keys: [String; 4] =
            serde_json::from_str(&keys).context("Node did not print four keys")?;
        let [root, upper, lower, key] = &keys;
        let root = authority("Loopback root", 0, root, None)?;
        let upper = authority("Loopback upper authority", SIZES[2], upper, Some(&root))?;
        let lower = authority("Loopback lower authority", SIZES[1], lower, Some(&upper))?;
        let key = key_of(key)?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = padded(SIZES[0], |padding| {
            let mut params = CertificateParams::new(names.clone())?;
            params.custom_extensions = padding;
            Ok(params.signed_by(&key, &lower)?)
        })?;
        let chain = vec![leaf.der().clone(), lower.der().clone(), upper.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("ring knows today's TLS")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the certificate fits its key")?;
        fs::create_dir_all(directory).context("cannot create a directory for certificates")?;
        let root_file = directory.join("root.pem");
        fs::write(&root_file, root.pem()).context("cannot write the root certificate")?;
        Ok(Self { server, root_file })
    }

    /// What one port needs. Each port has its own memory of sessions: all have the same host name, and a client would
    /// offer to one the session that it has with another.
    pub fn for_one_port(&self) -> Arc<ServerConfig> {
        let mut server = self.server.clone();
        server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        Arc::new(server)
    }
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str, size: usize, key: &str, issuer: Option<&Issuer>) -> Result<Issuer> {
    padded(size, |padding| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.custom_extensions = padding;
        Ok(match issuer {
            None => CertifiedIssuer::self_signed(params, key_of(key)?)?,
            Some(issuer) => CertifiedIssuer::signed_by(params, key_of(key)?, issuer)?,
        })
    })
}

fn key_of(pem: &str) -> Result<KeyPair> {
    KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_RSA_SHA256).context("Node's keys are PKCS #8")
}

/// Makes a certificate of `size` bytes. It is made twice: the first shows how much padding is missing.
fn padded<T: Encoded>(size: usize, make: impl Fn(Vec<CustomExtension>) -> Result<T>) -> Result<T> {
    let unpadded = make(Vec::new())?.length();
    make(padding(size.saturating_sub(unpadded)))
}

trait Encoded {
    /// Its length in bytes.
    fn length(&self) -> usize;
}

impl Encoded for Certificate {
    fn length(&self) -> usize {
        self.der().len()
    }
}

impl Encoded for Issuer {
    fn length(&self) -> usize {
        self.der().len()
    }
}

fn padding(bytes: usize) -> Vec<CustomExtension> {
    match bytes {
        0 => Vec::new(),
        // An octet string is well-formed for a client that reads it.
        bytes => {
            let mut content = vec![0x04, 0x82];
            content.extend(u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes());
            content.resize(content.len() + bytes, 0);
            vec![CustomExtension::from_oid_content(&PADDING, content)]
        }
    }
}
