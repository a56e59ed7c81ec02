//! Where the server is, and how to speak to it.

use std::{env, error::Error, fs, time::Duration};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// A channel whose every call carries the API key. Cheap to clone, and made to be shared.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Adds `authorization: Bearer ...`, if there is a key.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects with the first call, and again whenever the connection is lost.
///
/// Reads SENDOFF_ADDRESS, SENDOFF_CA_FILE and SENDOFF_API_KEY. tonic knows no gRPC targets, so the forms that the
/// other languages take are told apart here: several addresses (`ipv4:10.0.0.1:50051,10.0.0.2:50051`) share the
/// calls; a name, bare or as `dns:///`, is looked up for each new connection, and there is one at a time.
pub fn open() -> Result<Authorized, Box<dyn Error>> {
    let target = env::var("SENDOFF_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".into());
    let tls = match env::var("SENDOFF_CA_FILE") {
        Ok(path) => {
            let pem = fs::read(&path).map_err(|error| format!("SENDOFF_CA_FILE: {path}: {error}"))?;
            Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
        }
        Err(_) => None,
    };
    let hosts =
        ["dns:///", "dns:", "ipv4:", "ipv6:"].iter().find_map(|scheme| target.strip_prefix(scheme)).unwrap_or(&target);
    let endpoints = hosts
        .split(',')
        .map(|host| endpoint(host, tls.as_ref()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("SENDOFF_ADDRESS is {target:?}: {error}; expected host:port"))?;
    let channel = match endpoints.as_slice() {
        [only] => only.connect_lazy(),
        _ => Channel::balance_list(endpoints.into_iter()),
    };
    Ok(InterceptedService::new(channel, bearer()?))
}

fn endpoint(host: &str, tls: Option<&ClientTlsConfig>) -> Result<Endpoint, tonic::transport::Error> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{host}"))?
        .connect_timeout(Duration::from_secs(5))
        // Finds a peer that died without a word. The server takes pings every 10 s and no more often.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    match tls {
        Some(tls) => endpoint.tls_config(tls.clone()),
        None => Ok(endpoint),
    }
}

fn bearer() -> Result<Bearer, Box<dyn Error>> {
    let Ok(key) = env::var("SENDOFF_API_KEY") else {
        return Ok(Bearer(None));
    };
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {key}").parse().map_err(|_| "SENDOFF_API_KEY has characters that no key has")?;
    value.set_sensitive(true); // not shown by Debug, and not kept in the connection's header table
    Ok(Bearer(Some(value)))
}
