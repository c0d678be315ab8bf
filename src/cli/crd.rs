//! `lagrange crd`: the resource definitions as YAML on standard output. Needs no cluster and no
//! network.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use lagrange_core::api;
use serde_json::Value;

/// Prints the CustomResourceDefinitions, for `kubectl apply -f -`.
#[derive(Args, Clone, Debug)]
pub struct Crd {
    /// Print only this definition; default: both
    #[arg(value_enum)]
    only: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A consumer group to autoscale
    #[value(name = "consumergroups")]
    ConsumerGroups,
    /// A connection to Kafka that many groups share
    #[value(name = "kafkaclusters")]
    KafkaClusters,
}

impl Kind {
    const fn plural(self) -> &'static str {
        match self {
            Self::ConsumerGroups => "consumergroups",
            Self::KafkaClusters => "kafkaclusters",
        }
    }
}

/// Why the definitions could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They could not be written as YAML.
    #[error("cannot write a definition as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// They could not be written as JSON, which is the step before YAML.
    #[error("cannot write a definition as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl Crd {
    /// Prints the definitions.
    pub fn run(&self) -> Result<(), Error> {
        match self.print(&mut io::stdout().lock()) {
            // A reader that closed the pipe needs no message.
            Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<(), Error> {
        let wanted = |definition: &CustomResourceDefinition| {
            self.only
                .is_none_or(|kind| kind.plural() == definition.spec.names.plural)
        };
        for (index, definition) in api::definitions()
            .iter()
            .filter(|one| wanted(one))
            .enumerate()
        {
            if index > 0 {
                writeln!(out, "---")?;
            }
            out.write_all(yaml(definition)?.as_bytes())?;
        }
        Ok(out.flush()?)
    }
}

/// As a person would write it: the type has floating-point bounds, but every definition has whole
/// numbers.
fn yaml(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let mut value = serde_json::to_value(definition)?;
    whole_numbers(&mut value);
    Ok(serde_saphyr::to_string(&value)?)
}

fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            if let Some(whole) = text
                .strip_suffix(".0")
                .and_then(|whole| whole.parse::<i64>().ok())
            {
                *value = whole.into();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make crds` sets UPDATE to write the files.
    #[test]
    fn committed_definitions_match_the_types() {
        for definition in api::definitions() {
            let path = format!(
                "{}/crds/{}.yaml",
                env!("CARGO_MANIFEST_DIR"),
                definition.spec.names.plural
            );
            let text = yaml(&definition).unwrap();
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == text,
                "{path} differs from the types in crates/core/src/api: run `make crds`"
            );
        }
    }

    #[test]
    fn yaml_reads_back_as_the_same_definition() {
        for definition in api::definitions() {
            let read: CustomResourceDefinition =
                serde_saphyr::from_str(&yaml(&definition).unwrap()).unwrap();
            assert_eq!(read, definition);
        }
    }
}
