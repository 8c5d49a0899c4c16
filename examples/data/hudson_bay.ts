/**
 * Pelts of snowshoe hare and Canadian lynx collected by the Hudson's Bay Company, 1900-1920, in thousands a year.
 *
 * Elton & Nicholson, "The ten-year cycle in numbers of the lynx in Canada", Journal of Animal Ecology 11 (1942),
 * doi:10.2307/1358, and Hewitt, "The Conservation of the Wild Life of Canada" (1921); the numbers are those of
 * Howard's table, as used in Carpenter, "Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan" (2018),
 * https://mc-stan.org/users/documentation/case-studies/lotka-volterra-predator-prey.html
 */
// prettier-ignore
export const hudsonBay = {
  year: [1900, 1901, 1902, 1903, 1904, 1905, 1906, 1907, 1908, 1909, 1910,
         1911, 1912, 1913, 1914, 1915, 1916, 1917, 1918, 1919, 1920],
  hare: [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1,
         40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7],
  lynx: [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4,
         8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6],
};

/**
 * Posterior mean and standard deviation of Carpenter's Bayesian fit (2018) of
 * `hare' = alpha hare - beta hare lynx`, `lynx' = -gamma lynx + delta hare lynx` to the same record,
 * with log-normal errors: rates per year, populations in thousands of pelts at 1900.
 */
export const carpenter2018 = {
  alpha: { mean: 0.55, sd: 0.065 },
  beta: { mean: 0.028, sd: 0.004 },
  gamma: { mean: 0.8, sd: 0.092 },
  delta: { mean: 0.024, sd: 0.004 },
  hare0: { mean: 33.9, sd: 2.9 },
  lynx0: { mean: 5.9, sd: 0.5 },
};
