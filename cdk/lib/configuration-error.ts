/** A mistake in what the person who deploys has given. Its message says what is wrong and what to do; a stack trace adds nothing. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}
