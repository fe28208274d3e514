//! A server that speaks the S3 protocol and checks signatures, for tests; it keeps its buckets in a
//! folder. Another crate's tests use this file as well.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const KEY: &str = "AKEYOFATEST";
const SECRET: &str = "a-secret-of-a-test";

/// A server with one empty bucket. It ends when this is dropped.
pub(crate) struct S3 {
    /// `s3://` of a folder in the bucket.
    pub(crate) url: String,
    /// What a client has to be told, besides.
    pub(crate) options: Vec<(String, String)>,
    folder: TempDir,
    serving: JoinHandle<()>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that goes away is no concern of a test.
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        let options = [
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { url: "s3://bucket/roundtable".to_owned(), options, folder, serving }
    }

    /// How many objects there are, whatever they are.
    pub(crate) fn objects(&self) -> usize {
        count(&self.folder.path().join("bucket"))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}
