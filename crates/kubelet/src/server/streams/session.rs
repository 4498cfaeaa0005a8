//! The conversation with one process, whatever carries it.

use std::pin::Pin;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::status::End;
use super::transport::{Channel, Connection, Lost, Received, Sender};
use crate::runtime::{OutputChunk, Result, Session, SessionControl, StdStream, TerminalSize};

/// The whole conversation: it ends when the process has ended or the client is gone.
pub(super) async fn converse(connection: Connection, open: impl Future<Output = Result<Session>>) -> Result<(), Lost> {
    let Connection { mut sender, received, form } = connection;
    let end = match open.await {
        Ok(session) => {
            // Tells the client, as upstream does, that the streams are there.
            sender.send(Channel::Stdout, Bytes::new()).await?;
            let Session { stdin, output, control } = session;
            tokio::select! {
                ended = write_output(sender.as_mut(), output, control.as_ref()) => ended?,
                () = read_input(received, stdin, control.as_ref()) => return Ok(()),
            }
        }
        Err(error) => End::Error(format!("error executing command in container: {error}")),
    };
    if let Some(told) = end.written(form) {
        sender.send(Channel::Error, told.into()).await?;
    }
    sender.close().await
}

/// Sends the process's output, and then tells how it ended.
async fn write_output(
    sender: &mut dyn Sender,
    mut output: BoxStream<'static, Result<OutputChunk>>,
    control: &dyn SessionControl,
) -> Result<End, Lost> {
    while let Some(chunk) = output.next().await {
        let OutputChunk { stream, data } = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return Ok(End::Error(error.to_string())),
        };
        let channel = match stream {
            StdStream::Stdout => Channel::Stdout,
            StdStream::Stderr => Channel::Stderr,
        };
        sender.send(channel, data).await?;
    }
    Ok(match control.exit_code().await {
        Ok(code) => End::Exit(code),
        Err(error) => End::Error(error.to_string()),
    })
}

/// Feeds the process until the client is gone.
async fn read_input(
    mut received: BoxStream<'static, Received>,
    mut stdin: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    control: &dyn SessionControl,
) {
    while let Some(received) = received.next().await {
        match received {
            Received::Data(Channel::Stdin, data) => {
                if let Some(open) = &mut stdin
                    && let Err(error) = write(open, &data).await
                {
                    tracing::debug!("the process takes no more input: {error}");
                    stdin = None;
                }
            }
            Received::Closed(Channel::Stdin) => {
                if let Some(mut open) = stdin.take() {
                    // A process that has ended already needs no end of file.
                    let _ = open.shutdown().await;
                }
            }
            Received::Data(Channel::Resize, data) => {
                if let Some(size) = size(&data)
                    && let Err(error) = control.resize(size).await
                {
                    tracing::debug!("{error}");
                }
            }
            Received::Data(..) | Received::Closed(_) => {}
        }
    }
}

async fn write(stdin: &mut Pin<Box<dyn AsyncWrite + Send>>, data: &[u8]) -> std::io::Result<()> {
    stdin.write_all(data).await?;
    stdin.flush().await
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

fn size(json: &[u8]) -> Option<TerminalSize> {
    let Size { width, height } = serde_json::from_slice(json).ok()?;
    Some(TerminalSize { width, height })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::FutureExt;
    use tokio::sync::mpsc;

    use super::super::status::Form;
    use super::*;
    use crate::runtime::fake::FakeRuntime;
    use crate::runtime::{ContainerConfig, ExecRequest, PodIdentity, Runtime, RuntimeError, SandboxConfig};

    /// A transport in memory: what is sent, and `None` for the end.
    struct Wire(mpsc::UnboundedSender<Option<(Channel, Bytes)>>);

    #[async_trait]
    impl Sender for Wire {
        async fn send(&mut self, channel: Channel, data: Bytes) -> Result<(), Lost> {
            self.0.send(Some((channel, data))).map_err(|error| Lost(error.into()))
        }

        async fn close(&mut self) -> Result<(), Lost> {
            self.0.send(None).map_err(|error| Lost(error.into()))
        }
    }

    /// The words that a client reads when it says these.
    async fn talk(open: impl Future<Output = Result<Session>>, says: Vec<Received>) -> Vec<String> {
        let (sender, mut sent) = mpsc::unbounded_channel();
        let received = futures::stream::iter(says).chain(futures::stream::pending()).boxed();
        converse(Connection { sender: Box::new(Wire(sender)), received, form: Form::Json }, open).await.unwrap();
        let mut words = Vec::new();
        while let Some(Some(message)) = sent.recv().now_or_never() {
            words.push(match message {
                Some((channel, data)) => format!("{channel:?} {}", String::from_utf8_lossy(&data)),
                None => "end".to_owned(),
            });
        }
        words
    }

    async fn session(script: &str) -> Result<Session> {
        let runtime = FakeRuntime::default();
        runtime.add_image("image");
        let pod = PodIdentity { uid: "u".into(), ..PodIdentity::default() };
        let sandbox = SandboxConfig { pod, ..SandboxConfig::default() };
        let id = runtime.run_sandbox(&sandbox).await?.id;
        let container = ContainerConfig { name: "c".into(), image: "image".into(), ..ContainerConfig::default() };
        let id = runtime.create_container(&id, &sandbox, &container).await?;
        runtime.start_container(&id).await?;
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        runtime.exec(&id, &ExecRequest { command, stdin: true, stdout: true, ..ExecRequest::default() }).await
    }

    #[tokio::test]
    async fn a_command_is_talked_with() {
        let says = vec![
            Received::Data(Channel::Resize, "{".into()),
            Received::Data(Channel::Stdout, "nonsense".into()),
            Received::Data(Channel::Stdin, "typed".into()),
            Received::Closed(Channel::Stdin),
        ];
        let read = talk(session("echo out; echo err >&2; cat; exit 5"), says).await;
        let (status, output) = read.split_at(read.len() - 2).1.split_at(1);
        assert_eq!(read[..4], ["Stdout ", "Stdout out\n", "Stderr err\n", "Stdout typed"]);
        assert!(status[0].starts_with("Error ") && status[0].contains("NonZeroExitCode"), "{status:?}");
        assert_eq!(output, ["end"]);
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_run_is_an_error_with_an_end() {
        let fails = async { Err(RuntimeError::NotFound("c".into())) };
        let read = talk(fails, Vec::new()).await;
        assert_eq!(read.len(), 2);
        assert!(read[0].contains("error executing command in container: no such container: c"), "{read:?}");
    }

    #[test]
    fn sizes_are_read() {
        let expected = Some(TerminalSize { width: 80, height: 24 });
        assert_eq!(size(br#"{"Width":80,"Height":24}"#), expected);
        for nonsense in ["", "{", "{}", r#"{"Width":-1,"Height":70000}"#] {
            assert_eq!(size(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
