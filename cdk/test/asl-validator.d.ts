/** The part of the validator that the tests use; the package brings no types of its own. */
declare module "asl-validator" {
  /** What the validator found. */
  interface Report {
    readonly isValid: boolean;
    readonly errorsText: (separator?: string) => string;
  }
  function validate(definition: unknown): Report;
  export = validate;
}
