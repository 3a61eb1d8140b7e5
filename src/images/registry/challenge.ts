/** What a registry asks for in `WWW-Authenticate` (RFC 9110 §11.6.1). */
export type Challenge =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: string; readonly service: string; readonly scope: string | undefined };

const MOST_CHARACTERS = 8192;

/** The challenge that we can answer best, tokens before passwords; `undefined` when there is none. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  if (header === undefined || header.length > MOST_CHARACTERS) return undefined;
  let basic: Challenge | undefined;
  // A scheme is a word that a blank follows; several challenges stand in one header, divided by commas as parameters are.
  for (const [, scheme = '', rest = ''] of header.matchAll(
    /(?:^|,\s*)(bearer|basic)(?=[\s,]|$)((?:(?!,\s*[a-z]+\s).)*)/gi,
  )) {
    if (scheme.toLowerCase() === 'basic') {
      basic = { scheme: 'basic' };
      continue;
    }
    const values = parameters(rest);
    const realm = values.get('realm');
    if (realm === undefined) continue;
    return { scheme: 'bearer', realm, service: values.get('service') ?? '', scope: values.get('scope') };
  }
  return basic;
}

function parameters(text: string): Map<string, string> {
  const found = [...text.matchAll(/([a-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi)];
  return new Map(
    found.map(([, name = '', quoted, bare]) => [name.toLowerCase(), quoted?.replaceAll(/\\(.)/g, '$1') ?? bare ?? '']),
  );
}
