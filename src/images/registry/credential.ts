/** What lets us in. It is shown to nobody but the registry, and written down nowhere. */
export interface Credential {
  /** Where it is from, for people: never the secret. */
  readonly source: string;
  readonly login:
    | { readonly kind: 'password'; readonly username: string; readonly password: string }
    /** An OAuth 2 refresh token. */
    | { readonly kind: 'identity-token'; readonly token: string };
}
