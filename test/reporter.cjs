// Mocha's spec reporter, then one plain last line that a script can read: "N passed, N failed".
const mocha = require('mocha');
const { Spec } = (mocha.default ?? mocha).reporters;

module.exports = class PlainSummary extends Spec {
  epilogue() {
    super.epilogue();
    process.stdout.write(`${this.stats.passes} passed, ${this.stats.failures} failed\n`);
  }
};
