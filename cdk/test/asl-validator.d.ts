/** The part of the validator that the tests use. The package has no types. */
declare module "asl-validator" {
  interface Report {
    readonly isValid: boolean;
    readonly errorsText: (separator?: string) => string;
  }
  function validate(definition: unknown): Report;
  export = validate;
}
