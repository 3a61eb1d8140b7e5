import tseslint from 'typescript-eslint';

// Rules that types make possible, and the walls between rooms that a test alone would tell too late.
export default tseslint.config(
  { ignores: ['dist/', 'build/', 'node_modules/', 'src/guest/gen/', 'guest-agent/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js', 'scripts/*.mjs', 'test/support/faults/*.mjs'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // It does not know that an AbortSignal may have aborted since it was last looked at.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/process/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: ['child_process', 'node:child_process', 'execa'].map((name) => ({
            name,
            message: 'Programs are started by src/process only.',
          })),
        },
      ],
    },
  },
  { files: ['eslint.config.js', 'scripts/*.mjs', 'test/support/faults/*.mjs'], ...tseslint.configs.disableTypeChecked },
  // They speak to whoever started them.
  { files: ['scripts/*.mjs', 'test/support/faults/*.mjs', 'bench/**'], rules: { 'no-console': 'off' } },
);
