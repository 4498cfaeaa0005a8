//! A webhook of the tests' own, over real TLS.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
};

use axum::{
    Json, Router,
    routing::{MethodRouter, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::{
    Daemon,
    serve::{self, certificates::KeyedCertificate, tls::server_config},
};
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

/// A server that answers as its routes say.
pub struct HookServer {
    address: SocketAddr,
    /// The certificate, which is its own authority.
    pub pem: String,
    daemon: Daemon,
}

impl Drop for HookServer {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

impl HookServer {
    /// A server on the loopback.
    pub async fn start(routes: Router) -> Self {
        Self::start_at([127, 0, 0, 1].into(), routes).await
    }

    /// A server on this address. Its certificate is good for that, and for the service `hook` in `default`.
    pub async fn start_at(address: IpAddr, routes: Router) -> Self {
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            vec![SanType::IpAddress(address), SanType::DnsName("hook.default.svc".try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pair = KeyedCertificate {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        };
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let daemon = Daemon::new();
        serve::spawn(listener, Some(server_config(pair).unwrap()), routes, &daemon);
        Self { address, pem: certificate.pem(), daemon }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

/// An address of this machine that others reach it by, if it has one.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
}

impl HookServer {
    /// A client configuration that leads to a path by URL.
    pub fn config(&self, path: &str) -> Value {
        json!({"url": self.url(path), "caBundle": STANDARD.encode(&self.pem)})
    }
}

/// What a webhook was asked.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<Vec<Value>>>);

impl Asked {
    /// A route that notes what it is asked, and answers by this.
    pub fn answering(&self, answer: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> MethodRouter {
        let asked = self.clone();
        post(move |Json(review): Json<Value>| {
            asked.0.lock().push(review.clone());
            let mut response = answer(&review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            async move {
                Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
            }
        })
    }

    /// The requests since the last time, but for what the server keeps on its own.
    pub fn take(&self) -> Vec<Value> {
        let all = std::mem::take(&mut *self.0.lock()).into_iter().map(|mut review| review["request"].take());
        all.filter(|request| request["name"] != "kubernetes").collect()
    }
}

/// A patch, allowed.
pub fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}
