export function tensorStep(): void {}
