/** Names of the files of a layer. The index is written last: with it the layer is whole. */
export const LAYER_FILES = { data: 'data', index: 'index', sums: 'sums.json' } as const;
