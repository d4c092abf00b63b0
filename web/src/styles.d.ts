/** A style sheet as text, for a shadow tree. */
declare module "*.css?inline" {
  const text: string;
  export default text;
}
