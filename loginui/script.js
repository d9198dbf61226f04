for (const button of document.querySelectorAll(".show")) {
  const input = button.previousElementSibling;
  const show = (on) => {
    input.type = on ? "text" : "password";
    button.setAttribute("aria-pressed", on);
  };
  button.hidden = false;
  button.onclick = () => show(input.type === "password");
  input.form.addEventListener("submit", () => show(false));
}
if (!document.querySelector("input[name=link]")) history.replaceState(null, "", location.href);
