/**
 * Where host programs are looked up: fixed, so that neither a job's environment nor a login shell without /usr/sbin (the
 * default for people on Debian) decides which program runs.
 */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
