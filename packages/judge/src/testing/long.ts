/** Whether tests take all their time: every order, every user with every program. */
export const isLong = process.env.FLEX_LONG_TESTS === '1';
