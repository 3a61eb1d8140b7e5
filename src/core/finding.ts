/** What a look at one thing of this host found, for `vm-runner doctor`. */
export interface Finding {
  /** `problem`: jobs fail because of it. `warning`: they work, but worse. */
  readonly level: 'ok' | 'warning' | 'problem';
  /** What was looked at, in a word or two. */
  readonly subject: string;
  /** What was found and, unless it is fine, what to do. */
  readonly text: string;
}
