HTMLFormElement.prototype.submit.call(document.querySelector("form"));
