//! The certificates that the doors to the outside present: a chain as long, and as large, as that of AWS.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Bytes of the certificates that an AWS endpoint sends: its own, and two up to the root that clients know. The keys here are
/// of P-256, whose signatures take a client longer to check than those of RSA 2048, which AWS uses; padding makes up for
/// their being smaller.
const SIZES: [usize; 3] = [1500, 1100, 1150];
/// An extension that nobody knows, for the padding.
const PADDING: [u64; 6] = [1, 3, 6, 1, 4, 1];

/// What the doors need, and what a client needs to trust them.
pub struct Certificates {
    /// For the doors.
    pub server: Arc<ServerConfig>,
    /// The root, in a PEM file of its own: what `SSL_CERT_FILE` names.
    pub root_file: PathBuf,
}

impl Certificates {
    /// Makes new ones, and writes the root into `directory`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn make(directory: &Path) -> Result<Self> {
        let root = authority("Loopback root", 0, None)?;
        let upper = authority("Loopback upper authority", SIZES[2], Some(&root))?;
        let lower = authority("Loopback lower authority", SIZES[1], Some(&upper))?;
        let key = KeyPair::generate().context("a key can be made")?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = padded(SIZES[0], |padding| {
            let mut params = CertificateParams::new(names.clone())?;
            params.custom_extensions = padding;
            Ok(params.signed_by(&key, &lower)?.der().clone())
        })?;
        let chain = vec![leaf, lower.der().clone(), upper.der().clone()];
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
        Ok(Self {
            server: Arc::new(server),
            root_file,
        })
    }
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str, size: usize, issuer: Option<&Issuer>) -> Result<Issuer> {
    let make = |padding, key| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.custom_extensions = padding;
        anyhow::Ok(match issuer {
            None => CertifiedIssuer::self_signed(params, key)?,
            Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer)?,
        })
    };
    let unpadded = make(Vec::new(), KeyPair::generate()?)?.der().len();
    make(padding(size.saturating_sub(unpadded)), KeyPair::generate()?)
}

/// Makes it twice: once to see what is missing to `size`.
fn padded<T: AsRef<[u8]>>(
    size: usize,
    make: impl Fn(Vec<CustomExtension>) -> Result<T>,
) -> Result<T> {
    let unpadded = make(Vec::new())?.as_ref().len();
    make(padding(size.saturating_sub(unpadded)))
}

fn padding(bytes: usize) -> Vec<CustomExtension> {
    match bytes {
        0 => Vec::new(),
        // An octet string, so that it is well-formed for whoever looks into it.
        bytes => {
            let mut content = vec![0x04, 0x82];
            content.extend(u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes());
            content.resize(content.len() + bytes, 0);
            vec![CustomExtension::from_oid_content(&PADDING, content)]
        }
    }
}
