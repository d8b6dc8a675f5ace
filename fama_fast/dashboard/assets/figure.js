// One Vega-Lite figure. The library comes from this server, once for all figures of a page.
const libraries = new Map();
function load(url) {
  if (!libraries.has(url)) libraries.set(url, import(url));
  return libraries.get(url);
}

export default {
  template: `<div></div>`,
  props: { spec: Object, library: String },
  mounted() { this.draw(); },
  watch: { spec() { this.draw(); } },
  unmounted() { this.view?.finalize(); },
  methods: {
    async draw() {
      const turn = (this.turn = (this.turn ?? 0) + 1);
      try {
        await load(this.library);
        const holder = document.createElement("div");
        holder.style.width = "100%";
        // The old figure stays until the new one is drawn, so that a live page does not flicker.
        const old = [...this.$el.children];
        this.$el.append(holder);
        holder.style.visibility = old.length ? "hidden" : "";
        const result = await window.vegaEmbed(holder, structuredClone(JSON.parse(JSON.stringify(this.spec))), {
          actions: false,
          renderer: "svg",
        });
        if (turn !== this.turn) { result.finalize(); holder.remove(); return; }
        old.forEach((element) => element.remove());
        holder.style.visibility = "";
        this.view?.finalize();
        this.view = result;
        this.$el.dataset.state = "drawn";
      } catch (error) {
        this.$el.dataset.state = "failed";
        this.$el.textContent = "This figure could not be drawn: " + error;
      }
    },
  },
};
