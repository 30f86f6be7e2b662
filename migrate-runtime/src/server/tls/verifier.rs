//! What is looked at in a server's certificate.

use std::sync::Arc;

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{Fault, store};

/// Looks at as much of a certificate as `sslmode` asks for; that the server has its key is always looked at.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Without these any certificate will do.
    roots: Option<RootCertStore>,
    /// The same as they were given.
    given: Vec<CertificateDer<'static>>,
    with_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        given: Vec<CertificateDer<'static>>,
        with_name: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Fault> {
        let roots = Some(store(&given)?);
        Ok(Self { roots, given, with_name, algorithms: provider.signature_verification_algorithms })
    }

    pub(super) fn of_nobody(provider: &Arc<CryptoProvider>) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { roots: None, given: Vec::new(), with_name: false, algorithms }
    }

    /// A server's own certificate as the root, which is how the server's documentation makes one for a start. All else
    /// of it has been looked at when this is what is wrong; in any other words it stays refused.
    fn is_root_itself(&self, certificate: &CertificateDer<'_>, error: &Error) -> bool {
        self.given.iter().any(|given| given == certificate) && format!("{error:?}").contains("CaUsedAsEndEntity")
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let parsed = ParsedCertificate::try_from(certificate)?;
        let chain = verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, self.algorithms.all);
        chain.or_else(|error| if self.is_root_itself(certificate, &error) { Ok(()) } else { Err(error) })?;
        if self.with_name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A way out for a certificate that was refused.
pub(super) fn hint(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer => {
            "name the file with the certificate that has signed the server's: `sslrootcert=FILE`"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "name the host as the subjectAltName of its certificate does; a common name alone does not count"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the server needs a new certificate",
        _ => "see the server's certificate, and the file that `sslrootcert` names",
    }
}

/// The hash of a certificate that ties a password's proof to this connection, `tls-server-end-point` of
/// <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>. It is made by what the certificate was signed with, where that is
/// one of the usual hashes.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04];
    let (_, content, _) = element(certificate)?;
    let (_, _, behind_content) = element(content)?;
    let (_, algorithm, _) = element(behind_content)?;
    let (_, name, _) = element(algorithm)?;
    let hash: &Algorithm = match (name.strip_prefix(RSA), name.strip_prefix(ECDSA)) {
        // MD5 and SHA-1 count as SHA-256.
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => &SHA256,
        (Some([12]), _) | (_, Some([3, 3])) => &SHA384,
        (Some([13]), _) | (_, Some([3, 4])) => &SHA512,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// The first element of DER: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn self_signed(is_ca: bool) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["here".to_owned()]).unwrap();
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_servers_own_certificate_may_be_its_root() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        for is_ca in [false, true] {
            let (own, other) = (self_signed(is_ca), self_signed(is_ca));
            let verifier = Verifier::new(vec![own.clone()], true, &provider).unwrap();
            let verify = |certificate: &CertificateDer<'_>, name: &'static str| {
                let name = ServerName::try_from(name).unwrap();
                verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).is_ok()
            };
            assert_eq!((verify(&own, "here"), verify(&own, "there"), verify(&other, "here")), (true, false, false));
        }
    }

    #[test]
    fn a_certificate_is_hashed_as_it_was_signed() {
        let certificate = self_signed(false);
        // It is signed with ECDSA and SHA-256.
        assert_eq!(end_point(&certificate).unwrap(), digest::digest(&SHA256, &certificate).as_ref());
        for length in 0..certificate.len().min(200) {
            assert_eq!(end_point(&certificate[..length]), None);
        }
        assert_eq!(end_point(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]), None);
    }
}
