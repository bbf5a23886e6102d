/** A mistake in a deployment's settings. The message says what is wrong and what to do: no stack trace is shown. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}
