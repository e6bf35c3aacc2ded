// The alerts of the probe. None are computed yet: the tab appears with them.
export const alerts = null;
