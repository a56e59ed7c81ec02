"""Model providers: variables that are not of this program alone."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sendoff_server.settings.group import Group


class ProviderSettings(Group):
    """Model providers, by the variables that their own tools use."""

    model_config = SettingsConfigDict(env_prefix="")

    openai_api_key: SecretStr | None = Field(
        None, description="Key of OpenAI, or of what OPENAI_BASE_URL names. Offers openai/*."
    )
    openai_base_url: str | None = Field(
        None,
        description="Any OpenAI-compatible endpoint, spoken to in chat completions. Offers its /models as openai/*.",
    )
    anthropic_api_key: SecretStr | None = Field(None, description="Key of Anthropic. Offers anthropic/*.")
    anthropic_base_url: str | None = Field(None, description="Another endpoint that speaks Anthropic's messages API.")
    groq_api_key: SecretStr | None = Field(None, description="Key of Groq. Offers groq/*.")
    groq_base_url: str | None = Field(None, description="Another endpoint for groq/*, with a key or without.")
    mistral_api_key: SecretStr | None = Field(None, description="Key of Mistral. Offers mistral/*.")
    mistral_base_url: str | None = Field(None, description="Another endpoint for mistral/*, with a key or without.")
    gemini_api_key: SecretStr | None = Field(None, description="Key of Google's Gemini API. Offers google/*.")
    google_api_key: SecretStr | None = Field(None, description="The same; it wins over GEMINI_API_KEY.")
    google_base_url: str | None = Field(None, description="Another endpoint for google/*, with a key or without.")
    deepseek_api_key: SecretStr | None = Field(None, description="Key of DeepSeek. Offers deepseek/*.")
    deepseek_base_url: str | None = Field(None, description="Another endpoint for deepseek/*, with a key or without.")
    openrouter_api_key: SecretStr | None = Field(None, description="Key of OpenRouter. Offers openrouter/*.")
    openrouter_base_url: str | None = Field(
        None, description="Another endpoint for openrouter/*, with a key or without."
    )
    xai_api_key: SecretStr | None = Field(None, description="Key of xAI. Offers xai/*.")
    xai_base_url: str | None = Field(None, description="Another endpoint for xai/*, with a key or without.")
    together_api_key: SecretStr | None = Field(None, description="Key of Together. Offers together/*.")
    together_base_url: str | None = Field(None, description="Another endpoint for together/*, with a key or without.")
    ollama_base_url: str | None = Field(
        None, description="Where Ollama serves, as http://127.0.0.1:11434/v1. Offers ollama/*."
    )
    ollama_api_key: SecretStr | None = Field(None, description="Key of Ollama, if it wants one.")
    vllm_base_url: str | None = Field(
        None, description="Where vLLM serves, as http://127.0.0.1:8000/v1. Offers vllm/*."
    )
    vllm_api_key: SecretStr | None = Field(None, description="Key of vLLM, if it wants one.")
    lmstudio_base_url: str | None = Field(
        None, description="Where LM Studio serves, as http://127.0.0.1:1234/v1. Offers lmstudio/*."
    )
    lmstudio_api_key: SecretStr | None = Field(None, description="Key of LM Studio, if it wants one.")
