//! The output of `spillway up` when it is ready.

use admin::BedrockKeyView;
use domain::bedrock::{DEFAULT_REGION, ModelPreset};
use serde::Serialize;

use crate::first_key::Found;
use crate::folder::Folder;

/// The two simulated upstreams.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Demo {
    pub(crate) plan_url: String,
    pub(crate) bedrock_url: String,
    #[serde(skip)]
    pub(crate) plan_requests: u64,
}

/// The addresses and the data folder of a start.
pub(crate) struct Started<'a> {
    pub(crate) base_url: String,
    pub(crate) plan_url: String,
    pub(crate) preset: ModelPreset,
    pub(crate) demo: Option<Demo>,
    /// `None` when data is kept in memory only.
    pub(crate) folder: Option<&'a Folder>,
}

/// The output when Spillway is ready. The access key is in it at the first start only.
#[derive(Serialize)]
pub(crate) struct Ready {
    base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    /// The value for Claude Code's `ANTHROPIC_BASE_URL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    anthropic_base_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// The data folder; `null` when data is kept in memory only.
    data: Option<String>,
    plan_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bedrock_key: Option<BedrockKeyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The preset for requests on Bedrock that no rule names.
    models: ModelPreset,
    /// The model that serves the requests that neither rule nor preset names.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Sentences for the person who starts Spillway.
    notices: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    demo: Option<Demo>,
    /// The command that registers a Bedrock API key, when there is none.
    #[serde(skip)]
    set_bedrock_key: Option<String>,
    /// The command that issues another access key.
    #[serde(skip)]
    issue_key: Option<String>,
    /// The command that starts with another preset, without the preset's name.
    #[serde(skip)]
    up_with_models: String,
    /// The number of rules that the key has.
    #[serde(skip)]
    rules: usize,
}

impl Ready {
    pub(crate) fn new(started: Started<'_>, found: Found) -> Self {
        let Started {
            base_url,
            plan_url,
            preset,
            demo,
            folder,
        } = started;
        let access_key = found.issued.map(|issued| issued.access_key);
        let record = found.only.as_ref();
        let bedrock = record.map(|record| &record.bedrock);
        let set_bedrock_key = record
            .zip(folder)
            .map(|(record, folder)| folder.command(&format!("bedrock-key set {}", record.key_id)));
        let issue_key = record
            .zip(folder)
            .map(|(record, folder)| folder.command(&format!("key issue {}", record.user_id)));
        let up_with_models = match folder {
            Some(folder) => format!("{} --models", folder.command("up")),
            None => "spillway up --memory --models".to_owned(),
        };
        Self {
            anthropic_base_url: access_key
                .as_ref()
                .map(|key| format!("{base_url}/ak/{key}")),
            base_url,
            access_key,
            user_id: record.map(|record| record.user_id.to_string()),
            key_id: record.map(|record| record.key_id.to_string()),
            data: folder.map(|folder| folder.path().display().to_string()),
            plan_url,
            region: bedrock.map(|bedrock| bedrock.region.clone()),
            models: bedrock.and_then(|bedrock| bedrock.preset).unwrap_or(preset),
            model: bedrock.map(|bedrock| bedrock.models.default.id.clone()),
            rules: bedrock.map_or(0, |bedrock| bedrock.models.rules.len()),
            bedrock_key: found.only.and_then(|key| key.bedrock_key),
            notices: found.notices,
            demo,
            set_bedrock_key,
            issue_key,
            up_with_models,
        }
    }

    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![
            format!("Spillway is ready on {}", self.base_url),
            String::new(),
        ];
        match &self.demo {
            Some(demo) => lines.push(format!(
                "  plan     simulated: its limit is reached after {} request{}",
                demo.plan_requests,
                if demo.plan_requests == 1 { "" } else { "s" }
            )),
            None => lines.push(format!("  plan     {}", self.plan_url)),
        }
        self.bedrock(&mut lines);
        self.models(&mut lines);
        let data = self
            .data
            .as_deref()
            .unwrap_or("in memory only, gone when Spillway stops");
        lines.push(format!("  data     {data}"));
        for notice in &self.notices {
            lines.extend([String::new(), notice.clone()]);
        }
        lines.push(String::new());
        if let (Some(key), Some(url)) = (&self.access_key, &self.anthropic_base_url) {
            lines.push(format!("Your access key, shown this once: {key}"));
            lines.push("Start Claude Code with:".to_owned());
            lines.push(String::new());
            lines.push(claude_code(url, self.demo.is_some()));
        } else {
            let url = format!("{}/ak/YOUR_KEY", self.base_url);
            lines.push("Access keys that were issued before still work:".to_owned());
            lines.push(String::new());
            lines.push(claude_code(&url, self.demo.is_some()));
            if let Some(issue_key) = &self.issue_key {
                lines.push(String::new());
                lines.push(format!("For another access key: {issue_key}"));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn bedrock(&self, lines: &mut Vec<String>) {
        let region = match self.region.as_deref() {
            Some(DEFAULT_REGION) => format!(
                "{DEFAULT_REGION} (default; set AWS_REGION before the first start, or --region when you \
                 register a Bedrock API key)"
            ),
            Some(region) => region.to_owned(),
            None => {
                lines.push("  bedrock  per access key; see: spillway key list".to_owned());
                return;
            }
        };
        if self.demo.is_some() {
            lines.push("  bedrock  simulated".to_owned());
            return;
        }
        match (&self.bedrock_key, &self.set_bedrock_key) {
            (Some(key), _) => {
                let end = key.bedrock_key_expires_at;
                let end = end.map(|end| format!(", until {end}")).unwrap_or_default();
                lines.push(format!("  bedrock  key {}{end}", key.bedrock_key_masked));
            }
            (None, Some(set)) => {
                lines.push(
                    "  bedrock  no API key yet: when the plan is exhausted, requests fail"
                        .to_owned(),
                );
                lines.push(format!("           add one with: {set}"));
            }
            (None, None) => lines.push(
                "  bedrock  no API key: set AWS_BEARER_TOKEN_BEDROCK and start again".to_owned(),
            ),
        }
        lines.push(format!("  region   {region}"));
    }

    /// The models in force, their consequence, and the command that changes them.
    fn models(&self, lines: &mut Vec<String>) {
        let default = self
            .model
            .as_deref()
            .unwrap_or("each key's own default model");
        let own = match self.rules {
            0 => String::new(),
            rules => format!("{rules} of the key's own (--map), then "),
        };
        match self.models {
            ModelPreset::One => lines.extend([
                format!("  models   {own}one for all requests: {default}"),
                "           On Bedrock it answers whatever model Claude Code asks for, with its own price and \
                 quality."
                    .to_owned(),
                format!(
                    "           For each family's current model instead: {} family",
                    self.up_with_models
                ),
            ]),
            ModelPreset::Family => {
                let table: Vec<_> = dialect::model::current_models()
                    .map(|(family, model)| format!("{} → {model}", family.as_str()))
                    .collect();
                lines.extend([
                    format!("  models   {own}family: {}; others → {default}", table.join(", ")),
                    "           On Bedrock each request costs what its family's current model costs, the most for \
                     Opus."
                        .to_owned(),
                    format!(
                        "           For one model instead: {} one",
                        self.up_with_models
                    ),
                ]);
            }
        }
    }
}

/// The line that starts Claude Code.
pub(crate) fn claude_code(url: &str, is_demo: bool) -> String {
    // The simulated plan accepts any credential; without one Claude Code demands a login.
    let credential = if is_demo {
        " ANTHROPIC_AUTH_TOKEN=demo"
    } else {
        ""
    };
    format!("  ANTHROPIC_BASE_URL={url}{credential} claude")
}
