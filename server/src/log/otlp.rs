//! Traces by OTLP over HTTP: one span a request and one a call of WeChat's API.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// Where spans go.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to this collector: its base address, such as `http://127.0.0.1:4318`. Sampling and headers follow OpenTelemetry's
    /// own environment variables (`OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`).
    pub(super) fn to(address: &str) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", address.trim_end_matches('/')))
            .build()
            .map_err(|error| format!("log.traces = {address:?}: {error}"))?;
        let resource = Resource::builder().with_service_name("saoma").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// Takes up spans of our own, at every level; other libraries' stay out.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = |meta: &Metadata<'_>| {
            meta.is_span()
                && (meta.target().starts_with("saoma") || meta.target().starts_with("wechat"))
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("saoma"))
            .with_filter(filter_fn(ours))
    }

    /// Sends what is still on its way.
    pub(super) fn finish(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(name: "traces.unsent", %error, "the last traces could not be sent");
        }
    }
}
